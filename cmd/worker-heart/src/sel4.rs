//! The process on seL4: its configuration comes over the channel to init, its files over the one to the door.

use crate::heart::{Fault, Heart, Space, Step};
use crate::record::{ROLE, last, record};
use crate::{CONFIG_MAX, Config, FrameSchema, OVER};
use ninep::clnt::Client;
use ninep::refusal::{Refusal, Word};
use ninep::wire::{self, MSIZE_MAX, NOFID, Names, READ_OVERHEAD, Rmsg, Tmsg, VERSION};
use rt::prelude::*;
use rt::task::config::Role;
use rt::{BootError, Moved, Poll, Wire};
use zeroize::Zeroizing;

const O_RDWR: u32 = 2;
/// Append wherever the end is (spec 1.1).
const END: u64 = u64::MAX;
/// A request that is not answered by then is lost, and the session with it.
const DEADLINE_MS: u64 = 10_000;
/// Requests in flight at once: what is asked does not depend on what was answered.
const WINDOW: usize = 4;
const AFID: u32 = 0;
const ROOT: u32 = 1;
/// The longest ticket that goes into the attach itself.
const ANAME_MAX: usize = 1024;

/// The whole worker.
pub(crate) fn run() -> Result<(), BootError> {
    let mut poll = Poll::new();
    let none = |what: &str| BootError(format!("the topology has no channel to {what}"));
    let init = poll.take(Role::Lines).into_iter().next().ok_or_else(|| none("init"))?;
    let door = poll.take(Role::Enter).into_iter().next().ok_or_else(|| none("door"))?;
    let config = config(init, &poll)?;
    let mut heart = Heart::new(config.ticks, config.period_ms.max(1));
    let mut files = Files {
        poll,
        door,
        ticket: config.ticket,
        subject: config.subject,
        schema: config.frame_schema,
        session: None,
        next_fid: ROOT,
    };
    loop {
        match heart.beat(&mut files) {
            Step::Wait(ms) => files.sleep(ms),
            Step::Done => return Ok(()),
            Step::Over => rt::task::exit(OVER),
            Step::Failed(fault) => return Err(BootError(format!("{}: {}", files.subject, fault.said))),
        }
    }
}

fn config(mut init: Wire, poll: &Poll) -> Result<Config, BootError> {
    let mut line = Zeroizing::new(Vec::new());
    let mut buffer = Zeroizing::new([0; 1024]);
    while !line.contains(&b'\n') && line.len() < CONFIG_MAX as usize {
        init.has_changed();
        match init.read(&mut buffer[..]) {
            Moved::Bytes(n) => line.extend_from_slice(&buffer[..n]),
            Moved::Later => poll.wait(None, rt::now()),
            Moved::Ended => break,
        }
    }
    // Without the parser's words: they can repeat what they found, a ticket for one.
    let said = |column| BootError(format!("no configuration (column {column}); init writes it"));
    serde_json::from_slice(&line).map_err(|error| said(error.column()))
}

/// A session at the door, and the open telemetry file in it.
struct Session {
    client: Client,
    telemetry: Option<(Vec<String>, u32)>,
}

struct Files {
    poll: Poll,
    door: Wire,
    ticket: String,
    subject: String,
    schema: FrameSchema,
    session: Option<Session>,
    next_fid: u32,
}

fn lost(said: &str) -> Fault {
    Fault { word: None, said: said.into() }
}

fn refused(refusal: &Refusal) -> Fault {
    Fault { word: Some(refusal.word), said: refusal.to_string() }
}

impl Files {
    fn sleep(&mut self, ms: u64) {
        let until = rt::now().mono_ms + ms;
        while rt::now().mono_ms < until {
            self.poll.wait(Some(until), rt::now());
        }
    }

    fn new_fid(&mut self) -> u32 {
        self.next_fid += 1;
        self.next_fid
    }

    /// One request and its reply, a frame that decodes and is no Rlerror.
    fn call(&mut self, msg: &Tmsg) -> Result<Vec<u8>, Fault> {
        let answer = self.exchange(msg);
        if answer.as_ref().is_err_and(|fault| fault.word.is_none()) {
            self.session = None;
        }
        answer
    }

    fn exchange(&mut self, msg: &Tmsg) -> Result<Vec<u8>, Fault> {
        let until = rt::now().mono_ms + DEADLINE_MS;
        let Some(session) = &mut self.session else { return Err(lost("no session")) };
        let asked = session.client.send(msg).ok_or_else(|| lost("too much is in flight"))?;
        let mut buffer = [0; 2048];
        loop {
            if self.door.has_changed() {
                return Err(lost("the door has been started anew"));
            }
            while !session.client.output().is_empty() {
                match self.door.write(session.client.output()) {
                    Moved::Bytes(n) => session.client.consume(n),
                    Moved::Later => break,
                    Moved::Ended => return Err(lost("the door hung up")),
                }
            }
            while let Moved::Bytes(n) = self.door.read(&mut buffer) {
                session.client.input(&buffer[..n]).map_err(|broken| lost(&broken.to_string()))?;
            }
            if let Some(frame) = session.client.reply(asked) {
                let (_, msg) = wire::decode_r(&frame).map_err(|_| lost("no frame"))?;
                if let Rmsg::Lerror { ecode, detail } = msg {
                    let word = Word::from_errno(ecode).unwrap_or(Word::Invalid);
                    return Err(refused(&Refusal::new(word, detail.0.to_owned())));
                }
                return Ok(frame);
            }
            let now = rt::now();
            if now.mono_ms >= until {
                return Err(lost("the door does not answer"));
            }
            self.poll.wait(Some(until), now);
        }
    }

    /// A session, if there is none.
    fn enter(&mut self) -> Result<(), Fault> {
        self.door.has_changed();
        if self.session.is_some() {
            return Ok(());
        }
        if !self.door.is_open() {
            return Err(lost("the door is away"));
        }
        // What a session before this one has left unread is none of this one's.
        let mut buffer = [0; 2048];
        while let Moved::Bytes(_) = self.door.read(&mut buffer) {}
        self.session = Some(Session { client: Client::new(WINDOW), telemetry: None });
        let frame = self.call(&Tmsg::Version { msize: MSIZE_MAX, version: VERSION })?;
        if !matches!(wire::decode_r(&frame), Ok((_, Rmsg::Version { version: VERSION, .. }))) {
            self.session = None;
            return Err(lost("the door does not speak the protocol"));
        }
        let (uname, ticket) = (format!("{ROLE}:{}", self.subject), self.ticket.clone());
        let (mut afid, mut aname) = (NOFID, ticket.as_str());
        if aname.len() > ANAME_MAX {
            afid = AFID;
            self.call(&Tmsg::Auth { afid, uname: &uname, aname: "", n_uname: 0 })?;
            self.write(afid, 0, aname.as_bytes())?;
            aname = "";
        }
        let attached = self.call(&Tmsg::Attach { fid: ROOT, afid, uname: &uname, aname, n_uname: 0 });
        if attached.is_err() {
            self.session = None;
        }
        attached.map(drop)
    }

    fn write(&mut self, fid: u32, offset: u64, data: &[u8]) -> Result<u32, Fault> {
        let frame = self.call(&Tmsg::Write { fid, offset, data })?;
        match wire::decode_r(&frame) {
            Ok((_, Rmsg::Write { count })) => Ok(count),
            _ => Err(lost("no Rwrite")),
        }
    }

    fn open_path(&mut self, path: &[String]) -> Result<u32, Fault> {
        let fid = self.new_fid();
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let frame = self.call(&Tmsg::Walk { fid: ROOT, newfid: fid, names: Names::from(&names[..]) })?;
        match wire::decode_r(&frame) {
            Ok((_, Rmsg::Walk { qids })) if qids.len() == names.len() => {}
            _ => return Err(refused(&Refusal::from(Word::NotFound))),
        }
        if let Err(fault) = self.call(&Tmsg::Lopen { fid, flags: O_RDWR }) {
            self.clunk(fid);
            return Err(fault);
        }
        Ok(fid)
    }

    fn clunk(&mut self, fid: u32) {
        // It may be Closed already: its server has died.
        let _ = self.call(&Tmsg::Clunk { fid });
    }
}

impl Space for Files {
    fn open(&mut self) -> Result<(), Fault> {
        self.enter()?;
        let old = self.session.as_mut().and_then(|session| session.telemetry.take());
        if let Some((_, fid)) = old {
            self.clunk(fid);
        }
        let path: Vec<String> = ["worker", "self", "telemetry"].map(String::from).into();
        let (path, fid) = match self.open_path(&path) {
            Err(fault) if fault.word == Some(Word::NotFound) => {
                // A hive without that alias has it below the shard of this session.
                let shard = ns::shard_label(&self.subject, 8);
                let path = ["shard", &shard, "worker", &self.subject, "telemetry"].map(String::from);
                let path: Vec<String> = path.into();
                let fid = self.open_path(&path).map_err(|_| fault)?;
                (path, fid)
            }
            outcome => (path, outcome?),
        };
        if let Some(session) = &mut self.session {
            session.telemetry = Some((path, fid));
        }
        Ok(())
    }

    fn last(&mut self) -> Result<u64, Fault> {
        let telemetry = self.session.as_ref().and_then(|session| session.telemetry.as_ref());
        let Some((path, _)) = telemetry.cloned() else { return Err(lost("no file")) };
        let fid = self.open_path(&path)?;
        let mut records = Vec::new();
        loop {
            let (offset, count) = (records.len() as u64, MSIZE_MAX - READ_OVERHEAD);
            let frame = self.call(&Tmsg::Read { fid, offset, count })?;
            match wire::decode_r(&frame) {
                Ok((_, Rmsg::Read { data })) if !data.is_empty() => records.extend_from_slice(data),
                _ => break,
            }
        }
        self.clunk(fid);
        Ok(last(&records, self.schema))
    }

    /// One heart has nothing to send meanwhile: its beat has arrived when this returns.
    fn send(&mut self, n: u64) -> Result<(), Fault> {
        let telemetry = self.session.as_ref().and_then(|session| session.telemetry.as_ref());
        let Some(fid) = telemetry.map(|(_, fid)| *fid) else {
            return Err(refused(&Refusal::from(Word::Closed)));
        };
        let record = record(&self.subject, self.schema, n);
        let taken = self.write(fid, END, &record)?;
        if taken as usize == record.len() { Ok(()) } else { Err(lost("a beat was taken in part")) }
    }

    fn taken(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
