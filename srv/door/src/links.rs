//! Between the doors of a hive: connections that the first one has let in go to the door that will have
//! them, each as one message with its descriptor beside it. Bounded: a door that takes none is not there.

use crate::hand::{Handover, LONGEST};
use crate::seat::Reserve;
use crate::stream::Stream;
use chan::pass;
use chan::unix::{self, Moved};
use manifest::process_name;
use rt::{Boot, Poll, Wish};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Messages that may wait for one door.
const QUEUE: usize = 256;
/// One read.
const READ_BYTES: usize = 64 << 10;
/// The number of an arrivals' listener; its connections have those below.
const LISTENER: usize = 1 << 20;

/// Where door `index` takes connections.
pub(crate) fn path(run: &Path, index: u32) -> PathBuf {
    run.join("srv").join(format!("{}.hand", process_name("door", index)))
}

/// Where this door's session numbers begin, and how that is written down for its next life.
pub(crate) fn numbers(boot: &Boot) -> (u32, Reserve) {
    let path = boot.run.join("srv").join(format!("{}.next", process_name("door", boot.index)));
    let next = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    let new = path.with_extension("new");
    let reserve = move |next: u32| {
        // Whole or not at all. Where the disk is full, a later life may use a number again.
        let _ = std::fs::write(&new, format!("{next}\n")).and_then(|()| std::fs::rename(&new, &path));
    };
    (next.unwrap_or(1), Box::new(reserve))
}

/// The streams to the other doors, each opened when it is first needed.
pub(crate) struct Links {
    token: u64,
    links: Vec<Link>,
}

struct Link {
    path: PathBuf,
    stream: Option<UnixStream>,
    /// The poll knows it, and waits for this.
    wish: Option<Wish>,
    /// What waits; each with its descriptor until its first byte has gone.
    queue: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    /// Bytes of the first that have gone.
    sent: usize,
}

impl Links {
    pub(crate) fn new(run: &Path, count: u32, token: u64) -> Links {
        let link = |index| Link {
            path: path(run, index),
            stream: None,
            wish: None,
            queue: VecDeque::new(),
            sent: 0,
        };
        Links { token, links: (0..count).map(link).collect() }
    }

    /// Does this door take connections? Opens the stream to it if need be.
    pub(crate) fn reach(&mut self, door: u32) -> bool {
        let Some(link) = self.links.get_mut(door as usize) else { return false };
        if link.stream.is_none() {
            link.stream = unix::connect(&link.path).ok();
        }
        link.stream.is_some() && link.queue.len() < QUEUE
    }

    /// Sends a connection on its way. With a door that is gone by now it ends.
    pub(crate) fn send(&mut self, poll: &Poll, door: u32, handover: &Handover, fd: OwnedFd) {
        if let Some(link) = self.links.get_mut(door as usize) {
            link.queue.push_back((handover.encode(), Some(fd)));
            self.advance(poll, door as usize);
        }
    }

    /// Streams that are new are waited on.
    pub(crate) fn watch(&mut self, poll: &Poll) {
        for at in 0..self.links.len() {
            if self.links[at].stream.is_some() && self.links[at].wish.is_none() {
                self.advance(poll, at);
            }
        }
    }

    /// There is room again, or the other end is gone: it says nothing.
    pub(crate) fn event(&mut self, poll: &Poll, at: usize) {
        let Some(link) = self.links.get_mut(at) else { return };
        let Some(stream) = &mut link.stream else { return };
        if unix::read(stream, &mut [0; 1]) == Moved::Later {
            return self.advance(poll, at);
        }
        link.end();
    }

    fn advance(&mut self, poll: &Poll, at: usize) {
        let token = self.token | at as u64;
        let link = &mut self.links[at];
        if !link.flush() {
            return link.end();
        }
        let Some(stream) = &link.stream else { return };
        let wish = if link.queue.is_empty() { Wish::Read } else { Wish::Both };
        let watched = match link.wish {
            Some(before) if before == wish => Ok(()),
            Some(_) => poll.modify(stream, token, wish),
            None => poll.add(stream, token, wish),
        };
        link.wish = Some(wish);
        if watched.is_err() {
            link.end();
        }
    }
}

impl Link {
    /// Sends what can be sent; false where the other door is gone.
    fn flush(&mut self) -> bool {
        let Some(stream) = &self.stream else { return false };
        while let Some((bytes, fd)) = self.queue.front_mut() {
            match pass::send(stream, &bytes[self.sent..], fd.as_ref().map(AsFd::as_fd)) {
                Moved::Later => return true,
                Moved::Ended => return false,
                Moved::Bytes(n) => {
                    *fd = None;
                    self.sent += n;
                    if self.sent == bytes.len() {
                        self.queue.pop_front();
                        self.sent = 0;
                    }
                }
            }
        }
        true
    }

    /// The other door has died: who was on the way to it has died with it.
    fn end(&mut self) {
        (self.stream, self.wish, self.sent) = (None, None, 0);
        self.queue.clear();
    }
}

/// Connections that come from the first door.
pub(crate) struct Arrivals {
    token: u64,
    listener: Option<UnixListener>,
    conns: Slab<Conn>,
    buffer: Vec<u8>,
}

struct Conn {
    stream: UnixStream,
    input: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

impl Arrivals {
    /// The first door's.
    pub(crate) fn none() -> Arrivals {
        Arrivals { token: 0, listener: None, conns: Slab::new(), buffer: Vec::new() }
    }

    pub(crate) fn listen(path: &Path, poll: &Poll, token: u64) -> io::Result<Arrivals> {
        let listener = unix::listen(path)?;
        poll.add(&listener, token | LISTENER as u64, Wish::Read)?;
        Ok(Arrivals { token, listener: Some(listener), conns: Slab::new(), buffer: vec![0; READ_BYTES] })
    }

    /// Takes what has come; the connections that are whole.
    pub(crate) fn event(&mut self, poll: &Poll, at: usize) -> Vec<(Handover, Stream)> {
        if at == LISTENER {
            self.accept(poll);
            return Vec::new();
        }
        let mut whole = Vec::new();
        if self.conns.contains(at) && !self.receive(at, &mut whole) {
            self.conns.remove(at);
        }
        whole
    }

    fn accept(&mut self, poll: &Poll) {
        while let Some((stream, _)) = self.listener.as_ref().and_then(|listener| listener.accept().ok()) {
            let is_ours = unix::peer_uid(&stream).is_ok_and(|uid| uid == rustix::process::geteuid().as_raw());
            if !is_ours || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let entry = self.conns.vacant_entry();
            if poll.add(&stream, self.token | entry.key() as u64, Wish::Read).is_ok() {
                entry.insert(Conn { stream, input: Vec::new(), fds: VecDeque::new() });
            }
        }
    }

    /// False where the other end is gone, or sends what is no message.
    fn receive(&mut self, at: usize, whole: &mut Vec<(Handover, Stream)>) -> bool {
        let conn = &mut self.conns[at];
        match pass::receive(&conn.stream, &mut self.buffer, &mut conn.fds) {
            Moved::Later => return true,
            Moved::Ended => return false,
            Moved::Bytes(n) => conn.input.extend_from_slice(&self.buffer[..n]),
        }
        loop {
            match Handover::decode(&conn.input) {
                Ok(None) => return conn.input.len() <= LONGEST,
                Ok(Some((n, handover))) => {
                    conn.input.drain(..n);
                    let Some(fd) = conn.fds.pop_front() else { return false };
                    let stream =
                        if handover.is_tcp { Stream::Tcp(fd.into()) } else { Stream::Unix(fd.into()) };
                    whole.push((handover, stream));
                }
                Err(()) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Rules;
    use manifest::{Fids, Overflow};

    fn handover(input: &[u8]) -> Handover {
        Handover {
            rules: Rules { fids: Fids::Strict, overflow: Overflow::Busy, local_queen: true },
            is_tcp: false,
            peer: "uid=1".into(),
            peer_uid: Some(1),
            msize: Some(8192),
            highest: None,
            afids: Vec::new(),
            out: Vec::new(),
            input: input.to_vec(),
        }
    }

    #[test]
    fn connections_go_over_in_order_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("srv")).unwrap();
        let mut poll = Poll::new().unwrap();
        let mut links = Links::new(dir.path(), 2, 1 << 56);
        assert!(!links.reach(1), "nobody listens yet");
        let mut arrivals = Arrivals::listen(&path(dir.path(), 1), &poll, 2 << 56).unwrap();
        assert!(links.reach(1));
        let mut ends = Vec::new();
        // More than the kernel holds for a reader that is late.
        for i in 0..20u8 {
            let (mine, theirs) = UnixStream::pair().unwrap();
            ends.push(mine);
            assert!(links.reach(1));
            links.send(&poll, 1, &handover(&vec![i; 100_000]), theirs.into());
        }
        let mut came = Vec::new();
        let mut events = Vec::new();
        while came.len() < 20 {
            let now = rt::now();
            poll.wait(Some(now.mono_ms + 10_000), now, &mut events).unwrap();
            assert!(!events.is_empty(), "{} came", came.len());
            for event in events.drain(..) {
                let at = (event.token & ((1 << 56) - 1)) as usize;
                match event.token >> 56 {
                    1 => links.event(&poll, at),
                    _ => came.extend(arrivals.event(&poll, at)),
                }
            }
        }
        for (i, ((it, mut stream), mut end)) in came.into_iter().zip(ends).enumerate() {
            assert_eq!(it, handover(&vec![i as u8; 100_000]));
            assert_eq!(stream.write(&[i as u8]), Moved::Bytes(1));
            let mut byte = [0];
            assert_eq!((unix::read(&mut end, &mut byte), byte[0]), (Moved::Bytes(1), i as u8));
        }
    }

    #[test]
    fn who_is_on_the_way_to_a_door_that_dies_sees_the_end() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("srv")).unwrap();
        let poll = Poll::new().unwrap();
        let mut links = Links::new(dir.path(), 2, 1 << 56);
        let arrivals = Arrivals::listen(&path(dir.path(), 1), &poll, 2 << 56).unwrap();
        assert!(links.reach(1));
        drop(arrivals);
        let (mut mine, theirs) = UnixStream::pair().unwrap();
        links.send(&poll, 1, &handover(b"x"), theirs.into());
        links.event(&poll, 1);
        assert_eq!(unix::read(&mut mine, &mut [0]), Moved::Ended);
        assert!(!links.reach(1), "its socket is nobody's");
    }

    #[test]
    fn numbers_go_on_where_the_last_life_reserved_them() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("srv")).unwrap();
        let hive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sys/hive.toml");
        let manifest = manifest::compile(&hive).unwrap().manifest;
        let run = dir.path().to_path_buf();
        let boot = Boot { name: "door", index: 0, run: run.clone(), data: run, manifest };
        let (next, mut reserve) = numbers(&boot);
        assert_eq!(next, 1);
        reserve(1025);
        assert_eq!(numbers(&boot).0, 1025);
    }
}
