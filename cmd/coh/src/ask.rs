//! `coh status`, `coh kill`, `coh down`: init's own files, from outside.

use crate::trouble::{Trouble, at};
use crate::{leftovers, lock};
use ninep::refusal::Word;
use ninep::wire::{self, MSIZE_MAX, NOFID, NOTAG, Names, READ_OVERHEAD, Rmsg, Tmsg, VERSION};
use rustix::process::Signal;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// An init that does not answer by then is ended by other means, or reported.
const ANSWER: Duration = Duration::from_secs(5);
/// The mount, the workers and every server have two seconds each before they are killed.
const DOWN: Duration = Duration::from_secs(40);

/// A connection to an init, and its root as fid 0.
struct Asker {
    stream: UnixStream,
    path: String,
}

impl Asker {
    fn dial(run: &Path) -> Result<Asker, Trouble> {
        let path = run.join("srv/init");
        let stream = UnixStream::connect(&path).map_err(|_| none(run))?;
        for set in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            set(&stream, Some(ANSWER)).map_err(at(&path))?;
        }
        let mut asker = Asker { stream, path: path.display().to_string() };
        asker.call(NOTAG, &Tmsg::Version { msize: MSIZE_MAX, version: VERSION })?;
        let attach = Tmsg::Attach { fid: 0, afid: NOFID, uname: "server:coh", aname: "", n_uname: 0 };
        asker.call(0, &attach)?;
        Ok(asker)
    }

    /// One request and its reply; a refusal is trouble.
    fn call(&mut self, tag: u16, msg: &Tmsg) -> Result<Vec<u8>, Trouble> {
        let mut frame = Vec::new();
        msg.encode(tag, &mut frame);
        let mut exchange = || {
            self.stream.write_all(&frame)?;
            let mut size = [0; 4];
            self.stream.read_exact(&mut size)?;
            let mut reply = size.to_vec();
            reply.resize(u32::from_le_bytes(size).clamp(7, MSIZE_MAX) as usize, 0);
            self.stream.read_exact(&mut reply[4..])?;
            Ok(reply)
        };
        let reply = exchange().map_err(|error: std::io::Error| {
            Trouble(format!("{}: init does not answer: {error}; see coh.log in the run directory", self.path))
        })?;
        match wire::decode_r(&reply) {
            Ok((_, Rmsg::Lerror { ecode, detail })) => {
                let word = Word::from_errno(ecode).map_or("refused", Word::name);
                Err(Trouble(format!("{word}: {}", detail.0)))
            }
            Ok(_) => Ok(reply),
            Err(error) => Err(Trouble(format!("{}: {error}", self.path))),
        }
    }

    fn open(&mut self, name: &str, flags: u32) -> Result<(), Trouble> {
        let names = [name];
        self.call(0, &Tmsg::Walk { fid: 0, newfid: 1, names: Names::from(&names[..]) })?;
        self.call(0, &Tmsg::Lopen { fid: 1, flags })?;
        Ok(())
    }

    fn read(&mut self, name: &str) -> Result<String, Trouble> {
        self.open(name, 0)?;
        let mut text = Vec::new();
        loop {
            let offset = text.len() as u64;
            let reply = self.call(0, &Tmsg::Read { fid: 1, offset, count: MSIZE_MAX - READ_OVERHEAD })?;
            let Ok((_, Rmsg::Read { data })) = wire::decode_r(&reply) else { break };
            if data.is_empty() {
                break;
            }
            text.extend_from_slice(data);
        }
        self.call(0, &Tmsg::Clunk { fid: 1 })?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn command(&mut self, line: &str) -> Result<(), Trouble> {
        self.open("ctl", 1)?;
        self.call(0, &Tmsg::Write { fid: 1, offset: 0, data: line.as_bytes() })?;
        Ok(())
    }
}

fn none(run: &Path) -> Trouble {
    let run = run.display();
    Trouble(format!("{run}: no hive is running here; start one with: coh up --run {run}"))
}

/// The hive, a line per server, a line per worker.
pub(crate) fn status(run: &Path) -> Result<String, Trouble> {
    let mut init = Asker::dial(run)?;
    Ok(init.read("hive")? + &init.read("status")? + &init.read("workers")?)
}

/// Sends a signal to a server, through init.
pub(crate) fn kill(run: &Path, server: &str, signal: &str) -> Result<(), Trouble> {
    let line = serde_json::json!({ "kill": { "server": server, "signal": signal } });
    Asker::dial(run)?.command(&line.to_string())
}

/// Ends the hive of a run directory and waits until it has ended; clears up after one that was killed.
/// Says whether there was one.
pub(crate) fn down(run: &Path) -> Result<bool, Trouble> {
    let Some(holder) = lock::holder(run) else {
        leftovers::clear(run);
        return Ok(false);
    };
    if let Err(trouble) = Asker::dial(run).and_then(|mut init| init.command("{\"down\":{}}")) {
        // It may still be booting, or be ending already.
        let Some(holder) = holder else { return Err(trouble) };
        crate::program::signal(holder.pid, Signal::TERM);
    }
    let start = Instant::now();
    while lock::holder(run).is_some() {
        if start.elapsed() > DOWN {
            let pid = holder.map_or(0, |holder| holder.pid);
            let run = run.display();
            return Err(Trouble(format!("{run}: pid {pid} has not ended; end it with: kill -9 {pid}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(true)
}
