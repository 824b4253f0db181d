//! What init's files say.

use super::{Init, Phase, Plan};

impl Init {
    pub(crate) fn hive(&self) -> String {
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

    pub(crate) fn server_lines(&self) -> impl Iterator<Item = String> {
        self.kept.iter().map(|kept| {
            let pid = kept.state.pid().map_or("-".into(), |pid| pid.to_string());
            let degraded = if kept.is_degraded { " degraded=yes" } else { "" };
            let (state, restarts) = (kept.state.word(), kept.restarts.count);
            format!("{} pid={pid} state={state} restarts={restarts}{degraded}", kept.name)
        })
    }

    pub(crate) fn worker_lines(&self) -> impl Iterator<Item = String> {
        let mut workers: Vec<_> = self.workers.iter().collect();
        // worker-2 before worker-10.
        workers.sort_by_key(|(id, _)| id.len());
        workers.into_iter().map(|(id, worker)| {
            let state = if worker.kill_ms.is_some() { "stopping" } else { "running" };
            format!("{id} pid={} state={state} program={}", worker.pid, worker.program)
        })
    }

    pub(crate) fn story(&self) -> &str {
        &self.story
    }
}
