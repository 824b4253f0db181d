//! A console: lines on a Unix socket or a serial line, frames over TCP.

use crate::Sink;
use crate::alive::KeepAlive;
use crate::codec::Codec;
use crate::error::TalkError;
use crate::serial::Serial;
use crate::wire::{LEAST, read};
use ninep::dial::{Addr, Stream};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const DIAL_WITHIN: Duration = Duration::from_secs(10);

pub(crate) struct ConsoleEnd {
    stream: Stream,
    codec: Codec,
    buffer: Vec<u8>,
    began: Instant,
    alive: KeepAlive,
}

impl ConsoleEnd {
    /// A console at a socket; pings after `silence`.
    pub(crate) fn dial(addr: &Addr, silence: Duration) -> Result<ConsoleEnd, TalkError> {
        let codec = match addr {
            Addr::Unix(_) => Codec::Lines(Vec::new()),
            _ => Codec::Frames(Box::default()),
        };
        let stream = Stream::dial(addr, DIAL_WITHIN).map_err(|e| TalkError::Lost(e.to_string()))?;
        Ok(ConsoleEnd::on(stream, codec, silence))
    }

    /// A console at a serial line.
    pub(crate) fn serial(path: &Path, silence: Duration) -> Result<ConsoleEnd, TalkError> {
        let said = |e| TalkError::Lost(format!("serial!{}: {e}", path.display()));
        let stream = Stream::Other(Box::new(Serial::open(path).map_err(said)?));
        Ok(ConsoleEnd::on(stream, Codec::serial(), silence))
    }

    fn on(stream: Stream, codec: Codec, silence: Duration) -> ConsoleEnd {
        let silence_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        let (buffer, began, alive) = (vec![0; 16 << 10], Instant::now(), KeepAlive::new(silence_ms, 0));
        ConsoleEnd { stream, codec, buffer, began, alive }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    pub(crate) fn give(&mut self, line: &str) -> Result<(), TalkError> {
        let bytes = self.codec.encode(line);
        self.alive.said(self.now_ms());
        self.stream.set_deadline(Some(DIAL_WITHIN))?;
        Ok(self.stream.write_all(&bytes).and_then(|()| self.stream.flush())?)
    }

    /// Waits for lines, `time` at most; pings where we have been silent for long.
    pub(crate) fn take(&mut self, time: Duration, each: Sink) -> Result<(), TalkError> {
        let now_ms = self.now_ms();
        if self.alive.is_due(now_ms) {
            self.give("ping")?;
        }
        let wait = time.min(Duration::from_millis(self.alive.left_ms(now_ms))).max(LEAST);
        self.stream.set_deadline(Some(wait))?;
        let Some(n) = read(&mut self.stream, &mut self.buffer)? else { return Ok(()) };
        let ConsoleEnd { codec, buffer, alive, .. } = self;
        for byte in &buffer[..n] {
            match codec.feed(*byte)? {
                Some(line) if line == console::PONG && alive.takes_pong() => {}
                Some(line) => each(&line),
                None => {}
            }
        }
        Ok(())
    }
}
