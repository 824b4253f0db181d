//! One connection, from the port that listens to the last byte.

use chan::mux::{Conn, Listener, Pipe};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};

use crate::link::Link;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody is there yet.
    Listening,
    /// A client has asked, and not answered our answer.
    HalfOpen { since_ms: u64 },
    /// It is a stream of a link.
    Open(Stream),
    /// The stream is over; what was sent is being delivered.
    Closing { since_ms: u64 },
}

/// Where a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) link: usize,
    pub(crate) epoch: u32,
    pub(crate) conn: Conn,
    /// Bytes that the other end may yet send, and for which there is room.
    pub(crate) granted: usize,
    /// The client sends no more, and the other end was told.
    pub(crate) has_ended: bool,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) handle: SocketHandle,
    pub(crate) listener: Listener,
    pub(crate) port: u16,
    pub(crate) phase: Phase,
}

impl Session {
    pub(crate) fn stream(&mut self) -> Option<&mut Stream> {
        if let Phase::Open(stream) = &mut self.phase { Some(stream) } else { None }
    }
}

impl Stream {
    /// Moves what the client sent to the stream, and makes room for what it is sent.
    pub(crate) fn carry<P: Pipe>(&mut self, link: &mut Link<P>, socket: &mut Socket<'_>) {
        while socket.can_recv() {
            let sent = socket.recv(|data| {
                let sent = link.mux.send(&mut link.pipe, self.conn, data);
                (*sent.as_ref().unwrap_or(&0), sent)
            });
            match sent.map(|sent| link.note(sent)) {
                Ok(Some(1..)) => {}
                _ => break,
            }
        }
        let is_over = matches!(socket.state(), State::CloseWait | State::LastAck | State::Closing);
        if is_over && !socket.can_recv() && !self.has_ended {
            self.has_ended = true;
            link.mux.end(self.conn);
        }
        let room = socket.send_capacity() - socket.send_queue();
        // Many small grants would be as many frames.
        let more = room.saturating_sub(self.granted);
        if more > socket.send_capacity() / 4 && socket.may_send() {
            self.granted += more;
            link.mux.grant(self.conn, more);
        }
    }
}
