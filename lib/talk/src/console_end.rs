//! A console: lines on a Unix socket, frames over TCP.

use crate::Sink;
use crate::error::TalkError;
use crate::wire::{LEAST, read};
use console::{DATA_MAX, Framed, Framer, PING_AFTER_MS, header};
use ninep::dial::{Addr, Stream};
use std::io::Write;
use std::time::{Duration, Instant};

/// Room for the longest line with all of it escaped.
const LINE_MAX: usize = 5 * DATA_MAX;
const DIAL_WITHIN: Duration = Duration::from_secs(10);

enum Codec {
    Lines(Vec<u8>),
    Frames(Box<Framer<LINE_MAX>>),
}

pub(crate) struct ConsoleEnd {
    stream: Stream,
    codec: Codec,
    buffer: Vec<u8>,
    said: Instant,
    /// Pings of our own that are not answered yet.
    pings: usize,
}

impl ConsoleEnd {
    pub(crate) fn dial(addr: &Addr) -> Result<ConsoleEnd, TalkError> {
        let codec = match addr {
            Addr::Unix(_) => Codec::Lines(Vec::new()),
            _ => Codec::Frames(Box::default()),
        };
        let stream = Stream::dial(addr, DIAL_WITHIN).map_err(|e| TalkError::Lost(e.to_string()))?;
        Ok(ConsoleEnd { stream, codec, buffer: vec![0; 16 << 10], said: Instant::now(), pings: 0 })
    }

    pub(crate) fn give(&mut self, line: &str) -> Result<(), TalkError> {
        let mut bytes = Vec::with_capacity(line.len() + 4);
        match self.codec {
            Codec::Lines(_) => {
                bytes.extend_from_slice(line.as_bytes());
                bytes.push(b'\n');
            }
            Codec::Frames(_) => {
                bytes.extend_from_slice(&header(line.len()));
                bytes.extend_from_slice(line.as_bytes());
            }
        }
        self.said = Instant::now();
        self.stream.set_deadline(Some(DIAL_WITHIN))?;
        Ok(self.stream.write_all(&bytes).and_then(|()| self.stream.flush())?)
    }

    /// Waits for lines, `time` at most; pings where we have been silent for long.
    pub(crate) fn take(&mut self, time: Duration, each: Sink) -> Result<(), TalkError> {
        let silence = Duration::from_millis(PING_AFTER_MS);
        if self.said.elapsed() >= silence {
            self.give("ping")?;
            self.pings += 1;
        }
        let wait = time.min(silence.saturating_sub(self.said.elapsed())).max(LEAST);
        self.stream.set_deadline(Some(wait))?;
        let Some(n) = read(&mut self.stream, &mut self.buffer)? else { return Ok(()) };
        let ConsoleEnd { codec, buffer, pings, .. } = self;
        let mut line = |bytes: &[u8]| -> Result<(), TalkError> {
            let text = std::str::from_utf8(bytes).map_err(|_| TalkError::Protocol("a line is not UTF-8"))?;
            if *pings > 0 && text == console::PONG {
                *pings -= 1;
                return Ok(());
            }
            each(text);
            Ok(())
        };
        for byte in &buffer[..n] {
            match codec {
                Codec::Lines(partial) if *byte == b'\n' => {
                    line(partial)?;
                    partial.clear();
                }
                Codec::Lines(partial) if partial.len() >= LINE_MAX => {
                    return Err(TalkError::Protocol("a line without end"));
                }
                Codec::Lines(partial) => partial.push(*byte),
                Codec::Frames(framer) => match framer.feed(*byte) {
                    None => {}
                    Some(Framed::Line) => line(framer.line())?,
                    Some(Framed::BadLength) => return Err(TalkError::Protocol("a frame's length is wrong")),
                },
            }
        }
        Ok(())
    }
}
