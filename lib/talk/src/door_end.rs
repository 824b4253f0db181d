//! A door: the shell runs here, and its bytes go out and in.

use crate::Sink;
use crate::error::TalkError;
use crate::tap::Tap;
use crate::wire::{LEAST, read};
use console::check_line;
use ninep::dial::{Addr, Credentials, Stream};
use shell::{Options, Shell};
use std::io::Write;
use std::time::{Duration, Instant};
use trace::file::Kind;

/// How long the door may take to let us in.
const ATTACH_WITHIN: Duration = Duration::from_secs(10);

pub(crate) struct DoorEnd {
    addr: Addr,
    stream: Option<Stream>,
    shell: Shell,
    started: Instant,
    buffer: Vec<u8>,
    tap: Option<Tap>,
}

impl DoorEnd {
    pub(crate) fn dial(
        addr: &Addr,
        who: Credentials,
        tap: Option<Tap>,
        each: Sink,
    ) -> Result<DoorEnd, TalkError> {
        let mut end = DoorEnd {
            addr: addr.clone(),
            stream: None,
            shell: Shell::new(Options::default()),
            started: Instant::now(),
            buffer: vec![0; 64 << 10],
            tap,
        };
        end.shell.attach(who, 0);
        let mut said = String::new();
        while !end.shell.is_idle() {
            if end.started.elapsed() > ATTACH_WITHIN {
                return Err(TalkError::Silent);
            }
            end.connect()?;
            end.take(ATTACH_WITHIN, &mut |line| said = line.to_owned())?;
        }
        end.drain(&mut |line| said = line.to_owned());
        if !end.shell.is_attached() {
            return Err(TalkError::Refused(said));
        }
        each(&said);
        Ok(end)
    }

    /// What was recorded.
    pub(crate) fn tap(&self) -> Option<&Tap> {
        self.tap.as_ref()
    }

    fn record(&mut self, kind: Kind, ms: u64, bytes: &[u8]) {
        if let Some(tap) = &mut self.tap {
            tap.add(kind, ms, bytes);
        }
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Connects where the shell wants it: at the beginning, and at an attach behind a detach.
    fn connect(&mut self) -> Result<(), TalkError> {
        if self.shell.wants_door() {
            let stream =
                Stream::dial(&self.addr, ATTACH_WITHIN).map_err(|e| TalkError::Lost(e.to_string()))?;
            self.stream = Some(stream);
            let now_ms = self.now_ms();
            self.record(Kind::Dialled, now_ms, b"");
            self.shell.dialled(now_ms);
        }
        if !self.shell.uses_door() {
            self.stream = None;
        }
        Ok(())
    }

    pub(crate) fn give(&mut self, line: &str) -> Result<(), TalkError> {
        let now_ms = self.now_ms();
        if let Some(tap) = &mut self.tap {
            tap.line(now_ms, line);
        }
        self.shell.line(check_line(line.as_bytes()), now_ms);
        self.connect()
    }

    /// Hands over what there is to say, else waits for the door, `time` at most.
    pub(crate) fn take(&mut self, time: Duration, each: Sink) -> Result<(), TalkError> {
        if self.drain(each) {
            return Ok(());
        }
        self.connect()?;
        let Some(stream) = &mut self.stream else {
            if self.shell.is_closing() {
                return Err(TalkError::Lost("the session has ended".into()));
            }
            std::thread::sleep(time.min(Duration::from_millis(50)));
            return Ok(());
        };
        let output = self.shell.door_output();
        if !output.is_empty() {
            let n = output.len();
            stream.set_deadline(Some(ATTACH_WITHIN))?;
            stream.write_all(output).and_then(|()| stream.flush())?;
            if let Some(tap) = &mut self.tap {
                tap.add(Kind::Sent, self.started.elapsed().as_millis() as u64, output);
            }
            self.shell.door_sent(n);
        }
        let now_ms = self.started.elapsed().as_millis() as u64;
        let timer = self.shell.deadline_ms().map(|at| Duration::from_millis(at.saturating_sub(now_ms)));
        let wait = timer.map_or(time, |timer| timer.min(time)).max(LEAST);
        stream.set_deadline(Some(wait))?;
        let came = read(stream, &mut self.buffer);
        let now_ms = self.now_ms();
        match came {
            Ok(Some(n)) => {
                if let Some(tap) = &mut self.tap {
                    tap.add(Kind::Came, now_ms, &self.buffer[..n]);
                }
                self.shell.door_input(&self.buffer[..n], now_ms);
            }
            Ok(None) => {}
            Err(error) => {
                self.stream = None;
                self.shell.lost(&error.to_string(), now_ms);
            }
        }
        let now_ms = self.now_ms();
        if self.shell.deadline_ms().is_some_and(|at| at <= now_ms) {
            self.record(Kind::Tick, now_ms, b"");
            self.shell.tick(now_ms);
        }
        self.drain(each);
        if self.shell.is_idle() && self.stream.is_none() && !self.shell.is_closing() {
            return Err(TalkError::Lost("the door hung up".into()));
        }
        Ok(())
    }

    /// Hands over what the shell has said; says whether there was anything.
    fn drain(&mut self, each: Sink) -> bool {
        let mut any = false;
        loop {
            let mut has_said = false;
            while let Some(line) = self.shell.output() {
                let now_ms = self.now_ms();
                self.record(Kind::Said, now_ms, line.as_bytes());
                each(&line);
                has_said = true;
            }
            if !has_said {
                return any;
            }
            any = true;
            self.shell.drained(self.now_ms());
        }
    }
}
