//! Does the door let a local queen in? Asked at boot, so that `ready` is true for the first client.

use chan::unix::{self, Moved};
use ninep::srv::{Framer, Next};
use ninep::wire::{self, MSIZE_MAX, NOFID, NOTAG, Rmsg, Tmsg, VERSION};
use rt::{Poll, Wish};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// One attempt.
pub(crate) struct Probe {
    stream: UnixStream,
    input: Vec<u8>,
}

/// What an attempt has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Waiting,
    Welcome,
    Refused,
}

impl Probe {
    pub(crate) fn start(door: &Path, poll: &Poll, token: u64) -> io::Result<Probe> {
        let mut stream = unix::connect(door)?;
        let mut out = Vec::new();
        Tmsg::Version { msize: MSIZE_MAX, version: VERSION }.encode(NOTAG, &mut out);
        Tmsg::Attach { fid: 0, afid: NOFID, uname: "queen", aname: "", n_uname: u32::MAX }
            .encode(0, &mut out);
        // A fresh stream takes two small frames whole.
        match unix::write(&mut stream, &out) {
            Moved::Bytes(n) if n == out.len() => {}
            _ => return Err(io::ErrorKind::WriteZero.into()),
        }
        poll.add(&stream, token, Wish::Read)?;
        Ok(Probe { stream, input: Vec::new() })
    }

    pub(crate) fn event(&mut self) -> Outcome {
        let mut buffer = [0; 512];
        match unix::read(&mut self.stream, &mut buffer) {
            Moved::Later => return Outcome::Waiting,
            Moved::Ended => return Outcome::Refused,
            Moved::Bytes(n) => self.input.extend_from_slice(&buffer[..n]),
        }
        let mut framer = Framer::new(MSIZE_MAX);
        let mut at = 0;
        loop {
            match framer.next(&self.input[at..]) {
                (_, Next::More) => return Outcome::Waiting,
                (n, Next::Frame(frame)) => match wire::decode_r(frame) {
                    Ok((_, Rmsg::Version { .. })) => at += n,
                    Ok((_, Rmsg::Attach { .. })) => return Outcome::Welcome,
                    _ => return Outcome::Refused,
                },
                _ => return Outcome::Refused,
            }
        }
    }
}
