//! Lines of a connection: framed over TCP, with line ends on a socket of this machine.

use console::{Editor, Fault, Framed, Framer, LINE_MAX, check_line, header};
use rt::prelude::*;

/// How lines travel.
#[derive(Debug)]
pub(crate) enum Codec {
    Lines(Editor),
    Frames(Framer<LINE_MAX>),
}

/// What a byte has completed.
pub(crate) enum Taken<'a> {
    Line(Result<&'a str, Fault>),
    BadFrame,
}

impl Codec {
    pub(crate) fn feed(&mut self, byte: u8) -> Option<Taken<'_>> {
        match self {
            Codec::Lines(editor) => editor.feed(byte).then(|| Taken::Line(editor.line())),
            Codec::Frames(framer) => Some(match framer.feed(byte)? {
                Framed::Line => Taken::Line(check_line(framer.line())),
                Framed::BadLength => Taken::BadFrame,
            }),
        }
    }

    pub(crate) fn encode(&self, line: &str, out: &mut Vec<u8>) {
        match self {
            Codec::Lines(_) => {
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
            Codec::Frames(_) => {
                out.extend_from_slice(&header(line.len()));
                out.extend_from_slice(line.as_bytes());
            }
        }
    }
}
