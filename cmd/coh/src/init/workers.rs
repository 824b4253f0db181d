//! Workers, and what an operator does to servers.

use super::{GRACE_MS, Init, Phase, Worker};
use crate::program::{self, Program};
use ninep::refusal::{Refusal, Word};
use ninep::srv::Now;
use rustix::process::Signal;

impl Init {
    pub(super) fn spawn(
        &mut self,
        id: &str,
        program: &str,
        config: &str,
        now: Now,
    ) -> Result<String, Refusal> {
        let no = |word, detail: String| Err(Refusal::new(word, detail));
        if !self.plan.worker_programs.iter().any(|known| known == program) {
            return no(
                Word::Invalid,
                format!("{program}: not a program of [workers.programs] in the manifest"),
            );
        }
        if self.phase != Phase::Running && !self.is_booting() {
            return no(Word::Busy, "the hive is going down".into());
        }
        // Who asks again has not heard the answer: no two workers have one id.
        if let Some(worker) = self.workers.get(id) {
            return Ok(format!("worker={id} pid={}", worker.pid));
        }
        if self.workers.len() >= self.plan.workers_max {
            return no(Word::Quota, format!("{} workers are running", self.workers.len()));
        }
        let mut runs = Program {
            path: self.plan.bin.join(program),
            args: Vec::new(),
            env: Vec::new(),
            affinity: Vec::new(),
        };
        let (pid, process) = if self.plan.pools_workers {
            runs.args.push("--pool".into());
            (self.pools.start(program, &runs, config)?, None)
        } else {
            let process = runs.start(Some(config)).map_err(|trouble| Refusal::new(Word::Busy, trouble.0))?;
            (process.pid, Some(process))
        };
        let fields = format!("worker={id} pid={pid}");
        self.note(&format!(
            "{fields} started program={program} at_ms={}",
            now.mono_ms - self.started.mono_ms
        ));
        self.workers.insert(id.into(), Worker { pid, process, program: program.into(), kill_ms: None });
        Ok(fields)
    }

    pub(super) fn end(&mut self, id: &str, now: Now) -> Result<String, Refusal> {
        let worker = self
            .workers
            .get_mut(id)
            .ok_or_else(|| Refusal::new(Word::NotFound, format!("no process of worker {id}")))?;
        let fields = format!("worker={id} pid={}", worker.pid);
        if worker.process.is_some() {
            program::signal(worker.pid, Signal::TERM);
            worker.kill_ms.get_or_insert(now.mono_ms + GRACE_MS);
        } else if let Some(worker) = self.workers.remove(id) {
            self.pools.stop(&worker.program, id, now);
            self.note(&format!("worker={id} ended pid={} status=\"stopped\"", worker.pid));
        }
        Ok(fields)
    }

    pub(super) fn signal(&mut self, name: &str, word: &str) -> Result<String, Refusal> {
        let signal = program::signal_named(word).ok_or_else(|| {
            let detail = format!("{word}: no such signal here; KILL TERM INT ABRT SEGV STOP CONT are");
            Refusal::new(Word::Invalid, detail)
        })?;
        let names: Vec<_> = self.kept.iter().map(|kept| kept.name).collect();
        let Some(kept) = self.kept.iter_mut().find(|kept| kept.name == name) else {
            let detail = format!("no server {name}; there are {}", names.join(" "));
            return Err(Refusal::new(Word::NotFound, detail));
        };
        let Some(pid) = kept.state.pid() else {
            return Err(Refusal::new(
                Word::Busy,
                format!("{name} is not running: state={}", kept.state.word()),
            ));
        };
        kept.is_drill = !matches!(signal, Signal::STOP | Signal::CONT);
        program::signal(pid, signal);
        self.note(&format!("server={name} signalled pid={pid} signal={word}"));
        Ok(format!("server={name} pid={pid} signal={word}"))
    }
}
