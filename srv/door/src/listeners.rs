//! Where clients come in: sockets by the manifest, and those among them that are left alone for a while.

use crate::session::Rules;
use crate::stream::{Stream, tls_config};
use chan::unix;
use manifest::{Listener, ListenerKind};
use rt::{Boot, BootError, Poll, Wish};
use rustls::ServerConfig;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

/// How long a listener is left alone when there are no descriptors.
const ACCEPT_AGAIN_MS: u64 = 100;

enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
    Tls(TcpListener, Arc<ServerConfig>),
}

/// The listeners of a hive.
pub(crate) struct Listeners {
    /// The number of the first in the poll.
    token: u64,
    sockets: Vec<(Socket, Rules)>,
    /// Listeners that are left alone, and until when.
    paused: Vec<(usize, u64)>,
}

/// Someone who has come in.
pub(crate) struct Arrival {
    pub(crate) stream: Stream,
    pub(crate) rules: Rules,
    /// A user id or an address.
    pub(crate) peer: String,
    pub(crate) uid: Option<u32>,
}

impl Listeners {
    /// Listens where the manifest says, numbered from `token` on in the poll.
    pub(crate) fn new(boot: &Boot, poll: &Poll, token: u64) -> Result<Listeners, BootError> {
        let mut sockets = Vec::new();
        for (i, listener) in boot.manifest.listeners.iter().enumerate() {
            let socket = listen(boot, listener)?;
            let token = token | i as u64;
            let added = match &socket {
                Socket::Unix(s) => poll.add(s, token, Wish::Read),
                Socket::Tcp(s) | Socket::Tls(s, _) => poll.add(s, token, Wish::Read),
            };
            added.map_err(|e| BootError(format!("{}: {e}", listener.addr)))?;
            let rules = Rules {
                fids: listener.fids,
                overflow: listener.overflow,
                local_queen: listener.local_queen && listener.kind == ListenerKind::Unix,
            };
            sockets.push((socket, rules));
        }
        Ok(Listeners { token, sockets, paused: Vec::new() })
    }

    /// A door that others let clients in for.
    pub(crate) fn none() -> Listeners {
        Listeners { token: 0, sockets: Vec::new(), paused: Vec::new() }
    }

    /// The next who waits at listener `at`; `Some(None)` for one that was gone before it came in.
    pub(crate) fn accept(&mut self, poll: &Poll, at: usize, now_ms: u64) -> Option<Option<Arrival>> {
        let (socket, rules) = self.sockets.get(at)?;
        let accepted = match socket {
            Socket::Unix(listener) => listener.accept().map(|(stream, _)| {
                let uid = unix::peer_uid(&stream).ok();
                let name = uid.map_or("unix".into(), |uid| format!("uid={uid}"));
                let is_set = stream.set_nonblocking(true).is_ok();
                (is_set.then_some(Stream::Unix(stream)), name, uid)
            }),
            Socket::Tcp(listener) => listener.accept().map(|(stream, peer)| {
                let is_set = stream.set_nonblocking(true).and(stream.set_nodelay(true)).is_ok();
                (is_set.then_some(Stream::Tcp(stream)), peer.ip().to_string(), None)
            }),
            Socket::Tls(listener, config) => listener.accept().map(|(stream, peer)| {
                let is_set = stream.set_nonblocking(true).and(stream.set_nodelay(true)).is_ok();
                let stream = is_set.then(|| Stream::tls(config, stream)).flatten();
                (stream, peer.ip().to_string(), None)
            }),
        };
        match accepted {
            Ok((stream, peer, uid)) => {
                let rules = rules.clone();
                Some(stream.map(|stream| Arrival { stream, rules, peer, uid }))
            }
            Err(error) => {
                // Out of descriptors: who is waiting waits.
                if unix::is_exhausted(&error) && self.watch(poll, at, Wish::Nothing) {
                    self.paused.push((at, now_ms + ACCEPT_AGAIN_MS));
                }
                None
            }
        }
    }

    fn watch(&self, poll: &Poll, at: usize, wish: Wish) -> bool {
        let token = self.token | at as u64;
        self.sockets.get(at).is_some_and(|(socket, _)| {
            let watched = match socket {
                Socket::Unix(s) => poll.modify(s, token, wish),
                Socket::Tcp(s) | Socket::Tls(s, _) => poll.modify(s, token, wish),
            };
            watched.is_ok()
        })
    }

    /// Looks at paused listeners again whose time has come; says when the next one's does.
    pub(crate) fn unpause(&mut self, poll: &Poll, now_ms: u64) -> Option<u64> {
        let (due, later) =
            std::mem::take(&mut self.paused).into_iter().partition(|(_, until)| *until <= now_ms);
        self.paused = later;
        let due: Vec<(usize, u64)> = due;
        due.into_iter().for_each(|(at, _)| {
            self.watch(poll, at, Wish::Read);
        });
        self.paused.iter().map(|(_, until)| *until).min()
    }
}

fn listen(boot: &Boot, listener: &Listener) -> Result<Socket, BootError> {
    let said = |what: String| {
        BootError(format!("cannot listen at {}!{}: {what}", listener.kind.word(), listener.addr))
    };
    if listener.kind == ListenerKind::Unix {
        // An absolute address replaces the run directory in the join.
        let path = boot.run.join(&listener.addr);
        return unix::listen(&path).map(Socket::Unix).map_err(|e| said(e.to_string()));
    }
    let (host, port) = listener.host_port().ok_or_else(|| said("not HOST!PORT".into()))?;
    let tcp = TcpListener::bind((host, port)).map_err(|e| said(e.to_string()))?;
    tcp.set_nonblocking(true).map_err(|e| said(e.to_string()))?;
    if listener.kind == ListenerKind::Tcp {
        return Ok(Socket::Tcp(tcp));
    }
    let (Some(cert), Some(key)) = (&listener.cert, &listener.key) else {
        return Err(said("tls needs cert and key in the manifest".into()));
    };
    let read = |reference: &str| read_reference(boot, reference).map_err(&said);
    let config = tls_config(&read(cert)?, &read(key)?).map_err(&said)?;
    Ok(Socket::Tls(tcp, config))
}

/// What a `file:PATH` or `env:NAME` of the manifest refers to; a relative path is one of the data
/// directory.
fn read_reference(boot: &Boot, reference: &str) -> Result<Vec<u8>, String> {
    if let Some(path) = reference.strip_prefix("file:") {
        let path = boot.data.join(path);
        return std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()));
    }
    let name = reference.strip_prefix("env:").unwrap_or(reference);
    std::env::var(name).map(String::into_bytes).map_err(|e| format!("${name}: {e}"))
}
