//! One client of a server: frames in, replies out, as far as there is room.

use crate::prelude::*;
use chan::Moved;
use ninep::srv::{ConnId, Engine, Now, Service};

/// A stream that does not wait.
pub(crate) trait Stream {
    fn read(&mut self, buffer: &mut [u8]) -> Moved;
    fn write(&mut self, bytes: &[u8]) -> Moved;
}

/// A client's stream.
pub(crate) struct Conn<T> {
    pub(crate) stream: T,
    /// What has come and is not taken yet: part of a frame, or what waits for room among the replies.
    /// At most one read, since nothing is read while whole frames wait.
    pub(crate) input: Vec<u8>,
}

impl<T: Stream> Conn<T> {
    pub(crate) fn new(stream: T) -> Self {
        Conn { stream, input: Vec::new() }
    }

    /// Takes what waits for room, and sends what can be sent; None where the connection must end.
    pub(crate) fn advance<S: Service>(&mut self, engine: &mut Engine<S>, id: ConnId, now: Now) -> Option<()> {
        if !self.input.is_empty() {
            self.read(engine, id, &mut [], false, now)?;
        }
        self.send(engine, id).map(drop)
    }

    /// Reads once, and takes what has come; None where the connection must end. Replies that have found room wait
    /// for those to come in the same turn.
    pub(crate) fn read<S: Service>(
        &mut self,
        engine: &mut Engine<S>,
        id: ConnId,
        buffer: &mut [u8],
        reads: bool,
        now: Now,
    ) -> Option<()> {
        let mut input = core::mem::take(&mut self.input);
        let mut fresh = 0;
        if reads {
            match self.stream.read(buffer) {
                Moved::Later => {}
                Moved::Ended => return None,
                Moved::Bytes(n) if input.is_empty() => fresh = n,
                Moved::Bytes(n) => input.extend_from_slice(&buffer[..n]),
            }
        }
        if fresh > 0 {
            // The common case: whole frames, taken where they were read.
            let used = self.take(engine, id, &buffer[..fresh], now)?;
            input.extend_from_slice(&buffer[used..fresh]);
        } else {
            let used = self.take(engine, id, &input, now)?;
            input.drain(..used);
        }
        if input.is_empty() {
            input = Vec::new();
        }
        self.input = input;
        Some(())
    }

    /// Takes whole frames from `input` as long as the replies find room; says how many bytes it is done with, or
    /// None where the connection must end.
    fn take<S: Service>(
        &mut self,
        engine: &mut Engine<S>,
        id: ConnId,
        input: &[u8],
        now: Now,
    ) -> Option<usize> {
        let mut used = 0;
        loop {
            if !engine.has_room(id) && !self.send(engine, id)? {
                return Some(used);
            }
            match engine.feed(id, &input[used..], now)? {
                0 => break,
                n => used += n,
            }
        }
        Some(used)
    }

    /// Sends what it can; says whether there is room again, or None where the connection must end.
    fn send<S: Service>(&mut self, engine: &mut Engine<S>, id: ConnId) -> Option<bool> {
        loop {
            let output = engine.output(id);
            if output.is_empty() {
                return Some(true);
            }
            match self.stream.write(output) {
                Moved::Bytes(n) => engine.consume(id, n),
                Moved::Later => return Some(engine.has_room(id)),
                Moved::Ended => return None,
            }
        }
    }
}
