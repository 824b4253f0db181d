//! Before clients are let in: servers whose commands are journaled have read the journal, so that a first
//! command finds none of them Busy.

use super::{ANSWER_MS, ASK_MS, Init, Phase};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{JOURNALED, Now, Op, Request};

/// The id of a question to program i.
pub(super) const READ: u64 = 1 << 33;

/// A server that has not said that it takes commands.
pub(super) struct Reader {
    program: usize,
    /// None: a question is out.
    ask_ms: Option<u64>,
    /// What it said last.
    why: String,
}

impl Init {
    pub(super) fn begin_journal(&mut self, now: Now) {
        self.phase = Phase::Journal { since_ms: now.mono_ms };
        let all = 0..self.plan.servers.len();
        let reader =
            |program| Reader { program, ask_ms: Some(now.mono_ms), why: "it does not answer".into() };
        self.readers = all.map(reader).collect();
        self.ask_readers(now);
    }

    /// Asks those whose time it is; gives up on all when they have had theirs.
    pub(super) fn ask_readers(&mut self, now: Now) {
        let Phase::Journal { since_ms } = self.phase else { return };
        if now.mono_ms >= since_ms + ANSWER_MS {
            for Reader { program, why, .. } in std::mem::take(&mut self.readers) {
                let name = self.kept[program].name;
                let line = format!("server={name} is not ready: {why}; its commands are Busy until it is");
                eprintln!("coh up: {line}");
                self.tell(&line);
            }
        }
        for reader in &mut self.readers {
            if reader.ask_ms.take_if(|at| *at <= now.mono_ms).is_some() {
                let (id, server) = (READ + reader.program as u64, self.kept[reader.program].name);
                let path = "open".into();
                self.outbox.push(Request { id, server, root: JOURNALED, path, op: Op::Read });
            }
        }
        if self.readers.is_empty() {
            // She has had the same time.
            self.phase = Phase::Queen { since_ms, ask_ms: Some(now.mono_ms) };
        }
    }

    /// A server without such a file has nothing to read.
    pub(super) fn reader_answered(&mut self, program: usize, answer: Result<(), Refusal>, now: Now) {
        let Some(i) = self.readers.iter().position(|reader| reader.program == program) else { return };
        match answer {
            Err(refusal) if refusal.word == Word::Busy => {
                self.readers[i].ask_ms = Some(now.mono_ms + ASK_MS);
                self.readers[i].why = refusal.detail.into_owned();
            }
            _ => drop(self.readers.swap_remove(i)),
        }
        self.ask_readers(now);
    }

    pub(super) fn readers_ms(&self, since_ms: u64) -> Option<u64> {
        let asks = self.readers.iter().filter_map(|reader| reader.ask_ms);
        asks.chain([since_ms + ANSWER_MS]).min()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::*;
    use crate::program::Program;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, ..Now::default() }
    }

    /// Of two servers that nobody has started, their journal to be read.
    fn reading() -> Init {
        let program =
            || Program { path: "none".into(), args: Vec::new(), env: Vec::new(), affinity: Vec::new() };
        let plan = Plan {
            hive: "h".into(),
            profile: "dev".into(),
            fingerprint: "f".into(),
            door: "unix!door".into(),
            local_door: None,
            servers: vec![("queen", program()), ("log", program())],
            mount: None,
            bin: "bin".into(),
            worker_programs: Vec::new(),
            workers_max: 1,
            pools_workers: false,
            restart: manifest::Restart { backoff_ms: 1, backoff_max_ms: 1, deaths: 1, window_s: 1 },
        };
        let mut init = Init::new(plan, at(0));
        init.begin_journal(at(0));
        init.reader_answered(1, Err(Refusal::new(Word::NotFound, "no such file")), at(1));
        init
    }

    fn busy() -> Result<(), Refusal> {
        Err(Refusal::new(Word::Busy, "audit does not answer"))
    }

    #[test]
    fn a_server_that_has_not_read_the_journal_is_asked_again() {
        let mut init = reading();
        let asked = |init: &Init| init.outbox.iter().filter(|request| request.root == JOURNALED).count();
        assert_eq!(asked(&init), 2);
        init.reader_answered(0, busy(), at(1));
        init.ask_readers(at(1 + ASK_MS));
        assert_eq!(asked(&init), 3);
        init.reader_answered(0, Ok(()), at(2 + ASK_MS));
        assert!(matches!(init.phase, Phase::Queen { since_ms: 0, .. }));
        assert!(!init.story.contains("not ready"), "{}", init.story);
    }

    #[test]
    fn a_server_that_never_reads_the_journal_is_named_with_what_it_said_and_the_boot_goes_on() {
        let mut init = reading();
        init.reader_answered(0, busy(), at(1));
        init.ask_readers(at(ANSWER_MS - 1));
        assert!(!init.story.contains("not ready"), "{}", init.story);
        init.ask_readers(at(ANSWER_MS));
        let line = "server=queen is not ready: audit does not answer; its commands are Busy until it is\n";
        assert!(init.story.ends_with(line), "{}", init.story);
        assert!(matches!(init.phase, Phase::Queen { since_ms: 0, .. }));
    }
}
