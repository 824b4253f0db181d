//! The hive as init sees it: which programs run, which are to be started again and when, how it all
//! ends. Starts and signals processes; everything else goes in and out through the loop around it.

mod close;
mod files;
mod journal;
mod pool;
mod service;
mod workers;

use crate::mounts;
use crate::program::{self, Process, Program};
use crate::restart::{Death, Restarts};
use ninep::refusal::Word;
use ninep::srv::{Now, Op, Request};
use rustix::process::Signal;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

/// Between two looks whether a program that was started answers.
const ASK_MS: u64 = 3;
/// A program that does not answer by then never will.
const ANSWER_MS: u64 = 10_000;
/// Between TERM and KILL.
const GRACE_MS: u64 = 2000;
/// The id of a question to program i.
const ASKED: u64 = 1 << 32;
/// The id of the question for the hive's lifecycle.
const LIFECYCLE: u64 = 1;

/// What init is told at the start.
pub(crate) struct Plan {
    pub(crate) hive: String,
    pub(crate) profile: String,
    pub(crate) fingerprint: String,
    /// The door's address as clients dial it.
    pub(crate) door: String,
    /// The socket where a local queen is let in without a ticket, if there is one.
    pub(crate) local_door: Option<PathBuf>,
    /// The servers in the order of their start.
    pub(crate) servers: Vec<(&'static str, Program)>,
    /// The program that mounts the hive, and where.
    pub(crate) mount: Option<(Program, PathBuf)>,
    /// Where worker programs are, and which there are.
    pub(crate) bin: PathBuf,
    pub(crate) worker_programs: Vec<String>,
    pub(crate) workers_max: usize,
    /// Whether one process runs all workers of a program.
    pub(crate) pools_workers: bool,
    pub(crate) restart: manifest::Restart,
}

/// The boot, the life and the end of a hive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Servers are starting.
    Servers,
    /// They answer; have those whose commands are journaled read the journal?
    Journal {
        since_ms: u64,
    },
    /// They have; has the queen begun her work?
    Queen {
        since_ms: u64,
        ask_ms: Option<u64>,
    },
    /// She has; does the door let clients in?
    Door {
        ask_ms: u64,
    },
    /// It does; the mount is starting.
    Mount,
    Running,
    Closing {
        kill_ms: u64,
    },
    Closed,
}

enum State {
    /// Not yet, or not any more.
    Absent,
    /// To be started at that time.
    Waiting {
        at_ms: u64,
    },
    /// Started; asked whether it answers, or to be asked at `ask_ms`.
    Starting {
        process: Process,
        since_ms: u64,
        ask_ms: Option<u64>,
    },
    Up {
        process: Process,
    },
}

/// A program that is started again when it dies: a server, or the mount.
struct Kept {
    name: &'static str,
    program: Program,
    restarts: Restarts,
    state: State,
    /// Its next death is somebody's order.
    is_drill: bool,
    is_degraded: bool,
}

struct Worker {
    pid: i32,
    /// None: it is one of a pool.
    process: Option<Process>,
    program: String,
    kill_ms: Option<u64>,
}

/// The state behind init's tree.
pub(crate) struct Init {
    plan: Plan,
    /// Servers in order; the mount last.
    kept: Vec<Kept>,
    workers: BTreeMap<String, Worker>,
    pools: pool::Pools,
    phase: Phase,
    /// Servers that have not said that they have read the journal, and when each is asked.
    readers: Vec<journal::Reader>,
    started: Now,
    boot_ms: Option<u64>,
    story: String,
    outbox: Vec<Request>,
    /// Whom to end next, each list together.
    waves: VecDeque<Vec<i32>>,
    wave: Vec<i32>,
    failure: Option<String>,
    ready: Option<String>,
}

impl State {
    fn pid(&self) -> Option<i32> {
        match self {
            State::Starting { process, .. } | State::Up { process } => Some(process.pid),
            State::Absent | State::Waiting { .. } => None,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            State::Absent => "absent",
            State::Waiting { .. } => "waiting",
            State::Starting { .. } => "starting",
            State::Up { .. } => "up",
        }
    }
}

impl Init {
    pub(crate) fn new(plan: Plan, started: Now) -> Init {
        let keep = |name, program: &Program| Kept {
            name,
            program: program.clone(),
            restarts: Restarts::new(&plan.restart),
            state: State::Absent,
            is_drill: false,
            is_degraded: false,
        };
        let servers = plan.servers.iter().map(|(name, program)| keep(name, program));
        let kept = servers.chain(plan.mount.iter().map(|(program, _)| keep("mount", program))).collect();
        let story = format!(
            "init pid={} hive={} profile={} manifest={}\n",
            std::process::id(),
            plan.hive,
            plan.profile,
            plan.fingerprint
        );
        Init {
            plan,
            kept,
            workers: BTreeMap::new(),
            pools: pool::Pools::default(),
            phase: Phase::Servers,
            readers: Vec::new(),
            started,
            boot_ms: None,
            story,
            outbox: Vec::new(),
            waves: VecDeque::new(),
            wave: Vec::new(),
            failure: None,
            ready: None,
        }
    }

    // What the loop asks.

    /// The line for the operator, once, when the hive has booted.
    pub(crate) fn take_ready(&mut self) -> Option<String> {
        self.ready.take()
    }

    /// The door's socket, when it is time to ask whether a client is let in.
    pub(crate) fn door_to_ask(&mut self, now: Now) -> Option<PathBuf> {
        match self.phase {
            Phase::Door { ask_ms } if ask_ms <= now.mono_ms => {
                self.phase = Phase::Door { ask_ms: now.mono_ms + ANSWER_MS };
                self.plan.local_door.clone()
            }
            _ => None,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Why the boot failed, if it did.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    // The boot.

    fn note(&mut self, line: &str) {
        self.outbox.push(Request::log(format!("init {line}")));
    }

    fn tell(&mut self, line: &str) {
        self.story.push_str(line);
        self.story.push('\n');
        self.note(line);
    }

    fn is_booting(&self) -> bool {
        match self.phase {
            Phase::Servers | Phase::Journal { .. } | Phase::Queen { .. } | Phase::Door { .. } => true,
            Phase::Mount => true,
            Phase::Running | Phase::Closing { .. } | Phase::Closed => false,
        }
    }

    fn mount_index(&self) -> Option<usize> {
        self.plan.mount.as_ref().map(|_| self.kept.len() - 1)
    }

    fn fail(&mut self, sentence: String, now: Now) {
        self.failure.get_or_insert(sentence);
        self.close("the boot failed", now);
    }

    fn launch(&mut self, i: usize, now: Now) {
        let kept = &mut self.kept[i];
        kept.restarts.started(now.mono_ms);
        match kept.program.start(None) {
            Ok(process) => {
                kept.state = State::Starting { process, since_ms: now.mono_ms, ask_ms: Some(now.mono_ms) };
            }
            Err(trouble) => {
                self.fail_boot(trouble.0.clone(), now);
                self.gone(i, &trouble.0, now);
            }
        }
    }

    /// Asks those that are starting whether they answer, and gives up on those that have not.
    fn ask(&mut self, i: usize, now: Now) {
        let is_mount = self.mount_index() == Some(i);
        let State::Starting { process, since_ms, ask_ms } = &mut self.kept[i].state else { return };
        if now.mono_ms >= *since_ms + ANSWER_MS {
            // Killed once; should even that take long, it is done again.
            *since_ms = now.mono_ms;
            let (pid, name) = (process.pid, self.kept[i].name);
            program::signal(pid, Signal::KILL);
            self.note(&format!("server={name} killed pid={pid} reason=no-answer"));
            return self.fail_boot(format!("{name} (pid {pid}) does not answer"), now);
        }
        if !ask_ms.is_some_and(|at| at <= now.mono_ms) {
            return;
        }
        if is_mount {
            *ask_ms = Some(now.mono_ms + ASK_MS);
            if self.plan.mount.as_ref().is_some_and(|(_, dir)| mounts::is_mounted(dir)) {
                self.up(i, now);
            }
            return;
        }
        *ask_ms = None;
        let (id, server) = (ASKED + i as u64, self.kept[i].name);
        self.outbox.push(Request { id, server, root: "", path: String::new(), op: Op::Read });
    }

    /// An event for the queen; when she is away, she asks for what she has missed at her start.
    fn tell_queen(&mut self, event: String) {
        let (server, root, path) = ("queen", "in", "events".into());
        self.outbox.push(Request { id: 0, server, root, path, op: Op::Write(event.into_bytes()) });
    }

    /// A server has come or gone.
    fn servers_changed(&mut self) {
        self.tell_queen("{\"servers\":{}}\n".into());
    }

    fn fail_boot(&mut self, sentence: String, now: Now) {
        if self.is_booting() {
            self.fail(sentence, now);
        }
    }

    fn up(&mut self, i: usize, now: Now) {
        let kept = &mut self.kept[i];
        let State::Starting { process, .. } = std::mem::replace(&mut kept.state, State::Absent) else {
            return;
        };
        let line = format!("server={} up pid={} restarts={}", kept.name, process.pid, kept.restarts.count);
        kept.state = State::Up { process };
        if self.is_booting() {
            self.tell(&format!("{line} at_ms={}", now.mono_ms - self.started.mono_ms));
        } else {
            self.note(&line);
        }
        self.servers_changed();
        self.advance(now);
    }

    /// The next part of the boot, when this one is complete.
    fn advance(&mut self, now: Now) {
        let servers = self.plan.servers.len();
        let all = |kept: &[Kept]| kept.iter().all(|kept| matches!(kept.state, State::Up { .. }));
        match self.phase {
            Phase::Servers if all(&self.kept[..servers]) => {
                self.begin_journal(now);
            }
            Phase::Mount if all(&self.kept) => self.running(now),
            _ => {}
        }
    }

    /// Asks for the lifecycle's state, where it is time to.
    fn ask_queen(&mut self, now: Now) {
        let Phase::Queen { since_ms, ask_ms } = &mut self.phase else { return };
        if now.mono_ms >= *since_ms + ANSWER_MS {
            self.note("lifecycle state=BOOTING: the hive is let in all the same");
            return self.queen_answered(Err(Word::NotFound), now);
        }
        if ask_ms.take_if(|at| *at <= now.mono_ms).is_some() {
            let (server, root, path) = ("queen", "in", "boot".into());
            self.outbox.push(Request { id: LIFECYCLE, server, root, path, op: Op::Read });
        }
    }

    /// What the queen said of the lifecycle, which may be an earlier boot's yet; servers that have none
    /// say that.
    fn queen_answered(&mut self, answer: Result<&str, Word>, now: Now) {
        let this = format!("{}-{} ", std::process::id(), self.started.wall_ms);
        let is_booting = |said: &str| !said.starts_with(&this) || said.ends_with(" state=BOOTING");
        let Phase::Queen { ask_ms, .. } = &mut self.phase else { return };
        if matches!(answer, Err(Word::Busy)) || answer.is_ok_and(is_booting) {
            *ask_ms = Some(now.mono_ms + ASK_MS);
            return;
        }
        self.phase = Phase::Door { ask_ms: now.mono_ms };
        if self.plan.local_door.is_none() {
            self.door_answered(true, now);
        }
    }

    /// What the door said to a client of ours.
    pub(crate) fn door_answered(&mut self, is_welcome: bool, now: Now) {
        if !matches!(self.phase, Phase::Door { .. }) {
            return;
        }
        if !is_welcome {
            self.phase = Phase::Door { ask_ms: now.mono_ms + ASK_MS };
            return;
        }
        self.phase = Phase::Mount;
        match self.mount_index() {
            Some(i) => self.launch(i, now),
            None => self.running(now),
        }
    }

    fn running(&mut self, now: Now) {
        self.phase = Phase::Running;
        let boot_ms = now.mono_ms - self.started.mono_ms;
        self.boot_ms = Some(boot_ms);
        let (door, servers) = (self.plan.door.clone(), self.plan.servers.len());
        let mount = self.plan.mount.as_ref().map(|(_, dir)| format!(" mount={}", dir.display()));
        let ready =
            format!("ready door={door}{} servers={servers} boot_ms={boot_ms}", mount.unwrap_or_default());
        self.tell(&format!("door={door}"));
        self.note(&ready);
        self.story.push_str(&format!("boot_ms={boot_ms}\n"));
        self.ready = Some(ready);
    }

    // Deaths.

    /// A child has ended.
    pub(crate) fn reaped(&mut self, pid: i32, how: &str, now: Now) {
        if let Some(i) = self.kept.iter().position(|kept| kept.state.pid() == Some(pid)) {
            self.gone(i, how, now);
        }
        self.pools.reaped(pid);
        let ids: Vec<String> =
            self.workers.iter().filter(|(_, w)| w.pid == pid).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.workers.remove(&id);
            self.note(&format!("worker={id} ended pid={pid} status={how:?}"));
            self.tell_queen(format!("{{\"exited\":{{\"worker\":{id:?},\"status\":{how:?}}}}}\n"));
        }
        self.wave.retain(|other| *other != pid);
        self.next_wave(now);
    }

    /// Program i has died, or could not be started.
    fn gone(&mut self, i: usize, how: &str, now: Now) {
        if self.mount_index() == Some(i)
            && let Some((_, dir)) = &self.plan.mount
        {
            // Whoever stands in it would wait for a server that is not there.
            mounts::clear(dir);
        }
        let is_booting = self.is_booting();
        let kept = &mut self.kept[i];
        let name = kept.name;
        let was = std::mem::replace(&mut kept.state, State::Absent);
        if matches!(self.phase, Phase::Closing { .. } | Phase::Closed) {
            return;
        }
        if !matches!(was, State::Up { .. }) && is_booting {
            let program = self.kept[i].program.path.display();
            let sentence = format!("{name} ({program}) ended before it answered: {how}");
            return self.fail(sentence, now);
        }
        let death = if std::mem::take(&mut kept.is_drill) { Death::Drill } else { Death::Crash };
        let at_ms = kept.restarts.died(death, now.mono_ms);
        kept.state = State::Waiting { at_ms };
        let (deaths, wait) = (kept.restarts.recent(now.mono_ms), at_ms - now.mono_ms);
        let degrades = kept.restarts.is_degraded(now.mono_ms) && !kept.is_degraded;
        kept.is_degraded |= degrades;
        let pid = was.pid().map_or("-".into(), |pid| pid.to_string());
        self.servers_changed();
        self.note(&format!("server={name} died pid={pid} status={how:?} restart_in_ms={wait}"));
        if degrades {
            let window = self.plan.restart.window_s;
            let line = format!("DEGRADED server={name} deaths={deaths} window_s={window} last={how:?}");
            eprintln!("coh up: {line}");
            self.note(&line);
        }
    }
}
