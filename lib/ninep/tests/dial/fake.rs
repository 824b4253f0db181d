//! A server that agrees to everything until it is attached to, and then says what a test wants.

use ninep::dial::Addr;
use ninep::wire::{Detail, Qid, Rmsg, Tmsg, VERSION, decode_t};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// Its end of the connection.
pub(crate) struct Peer(UnixStream);

impl Peer {
    /// The next request, if the client has not gone.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 4];
        self.0.read_exact(&mut frame).ok()?;
        frame.resize(u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize, 0);
        self.0.read_exact(&mut frame[4..]).ok()?;
        Some(frame)
    }

    /// A client that has gone does not hear it.
    pub(crate) fn say(&mut self, tag: u16, msg: &Rmsg) {
        let mut bytes = Vec::new();
        msg.encode(tag, &mut bytes);
        let _ = self.0.write_all(&bytes);
    }

    /// Version and attach.
    fn greet(&mut self) {
        let asked = self.next().unwrap();
        let (tag, _) = decode_t(&asked).unwrap();
        self.say(tag, &Rmsg::Version { msize: 8192, version: VERSION });
        let asked = self.next().unwrap();
        let (tag, _) = decode_t(&asked).unwrap();
        self.say(tag, &Rmsg::Attach { qid: Qid::default() });
    }

    /// Answers what every test asks alike: walks, opens, clunks, flushes.
    pub(crate) fn answer(&mut self, tag: u16, msg: &Tmsg) {
        match msg {
            Tmsg::Walk { .. } => {
                // One qid a name; the names themselves do not matter here.
                let qids = vec![Qid::default(); names(msg)];
                self.say(tag, &Rmsg::Walk { qids: (&qids[..]).into() });
            }
            Tmsg::Lopen { .. } => self.say(tag, &Rmsg::Lopen { qid: Qid::default(), iounit: 0 }),
            Tmsg::Clunk { .. } => self.say(tag, &Rmsg::Clunk),
            Tmsg::Flush { .. } => self.say(tag, &Rmsg::Flush),
            Tmsg::Getattr { .. } => self.refuse(tag, 2),
            other => panic!("{other:?} was not expected"),
        }
    }

    pub(crate) fn refuse(&mut self, tag: u16, ecode: u32) {
        self.say(tag, &Rmsg::Lerror { ecode, detail: Detail("") });
    }
}

fn names(msg: &Tmsg) -> usize {
    match msg {
        Tmsg::Walk { names, .. } => names.iter().count(),
        _ => 0,
    }
}

/// A server that is attached to once and then is `serve`.
pub(crate) struct Fake {
    dir: TempDir,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn new(serve: impl FnOnce(Peer) + Send + 'static) -> Fake {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("door")).unwrap();
        let thread = std::thread::spawn(move || {
            let mut peer = Peer(listener.accept().unwrap().0);
            peer.greet();
            serve(peer);
        });
        Fake { dir, thread: Some(thread) }
    }

    /// One that is asked in turn: `each` is told every request after the attach.
    pub(crate) fn each(mut each: impl FnMut(&mut Peer, u16, &Tmsg) + Send + 'static) -> Fake {
        Fake::new(move |mut peer| {
            while let Some(frame) = peer.next() {
                let (tag, msg) = decode_t(&frame).unwrap();
                each(&mut peer, tag, &msg);
            }
        })
    }

    pub(crate) fn addr(&self) -> Addr {
        Addr::Unix(self.dir.path().join("door"))
    }

    /// Waits for its end; what went wrong in it is told.
    pub(crate) fn end(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}
