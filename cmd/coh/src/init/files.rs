//! What init's files say, and where its orders go.

use super::{Init, Phase, Plan};
use ninep::refusal::Refusal;
use ninep::srv::Now;

impl initfs::Init for Init {
    fn hive(&self) -> String {
        let state = match self.phase {
            _ if self.is_booting() => "BOOTING",
            Phase::Running if self.kept.iter().any(|kept| kept.is_degraded) => "DEGRADED",
            Phase::Running => "ONLINE",
            _ => "CLOSING",
        };
        let Plan { hive, profile, fingerprint, door, .. } = &self.plan;
        let mount = self.plan.mount.as_ref().map(|(_, dir)| format!(" mount={}", dir.display()));
        format!(
            "hive name={hive} pid={} state={state} since_ms={} door={door}{} profile={profile} manifest={fingerprint}",
            std::process::id(),
            self.started.wall_ms,
            mount.unwrap_or_default(),
        )
    }

    fn servers(&self) -> impl Iterator<Item = String> {
        self.kept.iter().map(|kept| {
            let pid = kept.state.pid().map_or("-".into(), |pid| pid.to_string());
            let degraded = if kept.is_degraded { " degraded=yes" } else { "" };
            let (state, restarts) = (kept.state.word(), kept.restarts.count);
            format!("{} pid={pid} state={state} restarts={restarts}{degraded}", kept.name)
        })
    }

    fn workers(&self) -> impl Iterator<Item = String> {
        let mut workers: Vec<_> = self.workers.iter().collect();
        // worker-2 before worker-10.
        workers.sort_by_key(|(id, _)| id.len());
        workers.into_iter().map(|(id, worker)| {
            let state = if worker.kill_ms.is_some() { "stopping" } else { "running" };
            format!("{id} pid={} state={state} program={}", worker.pid, worker.program)
        })
    }

    fn story(&self) -> String {
        self.story.clone()
    }

    fn start_worker(&mut self, id: &str, program: &str, config: &str, now: Now) -> Result<String, Refusal> {
        self.spawn(id, program, config, now)
    }

    fn stop_worker(&mut self, id: &str, now: Now) -> Result<String, Refusal> {
        self.end(id, now)
    }

    fn kill(&mut self, server: &str, signal: &str, _: Now) -> Result<String, Refusal> {
        self.signal(server, signal)
    }

    fn down(&mut self, now: Now) -> Result<String, Refusal> {
        self.close("coh down", now);
        Ok(String::new())
    }
}
