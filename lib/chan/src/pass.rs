//! Open descriptors on their way from one process to another, beside the bytes of a Unix stream
//! (`SCM_RIGHTS` of unix(7)). The stream never blocks.

use super::unix::Moved;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Writes once; the descriptor goes with the first byte, so with any count but none.
pub fn send(stream: &UnixStream, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> Moved {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    if !fds.is_empty() {
        let is_there = control.push(SendAncillaryMessage::ScmRights(&fds));
        assert!(is_there, "the buffer was made for one descriptor");
    }
    loop {
        return match sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Ok(n) => Moved::Bytes(n),
            Err(Errno::INTR) => continue,
            // Too many descriptors on their way at once: some will arrive.
            Err(Errno::AGAIN | Errno::TOOMANYREFS) => Moved::Later,
            Err(_) => Moved::Ended,
        };
    }
}

/// Reads once; descriptors that came along are appended to `fds`, in the order in which they were sent.
/// One read never goes beyond the bytes that a second descriptor came with.
pub fn receive(stream: &UnixStream, buffer: &mut [u8], fds: &mut VecDeque<OwnedFd>) -> Moved {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    loop {
        let received = recvmsg(stream, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC);
        let bytes = match received {
            Ok(received) => received.bytes,
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => return Moved::Later,
            Err(_) => return Moved::Ended,
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        return if bytes == 0 { Moved::Ended } else { Moved::Bytes(bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unix;
    use std::os::fd::AsFd;

    fn pair() -> (UnixStream, UnixStream) {
        let (a, b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        b.set_nonblocking(true).unwrap();
        (a, b)
    }

    #[test]
    fn descriptors_arrive_in_the_order_of_their_bytes() {
        let (there, here) = pair();
        let (mut buffer, mut fds) = ([0; 64], VecDeque::new());
        assert_eq!(receive(&here, &mut buffer, &mut fds), Moved::Later);
        let mut ends = Vec::new();
        for text in [b"one", b"two"] {
            let (mine, theirs) = pair();
            assert_eq!(send(&there, text, Some(theirs.as_fd())), Moved::Bytes(3));
            ends.push(mine);
        }
        assert_eq!(send(&there, b"!", None), Moved::Bytes(1));
        drop(there);
        let mut all = Vec::new();
        while let Moved::Bytes(n) = receive(&here, &mut buffer, &mut fds) {
            all.extend_from_slice(&buffer[..n]);
        }
        assert_eq!((all.as_slice(), fds.len()), (&b"onetwo!"[..], 2));
        for (i, (mine, theirs)) in ends.iter_mut().zip(fds).enumerate() {
            let text = [b'a' + i as u8];
            assert_eq!(unix::write(&mut UnixStream::from(theirs), &text), Moved::Bytes(1));
            assert_eq!(unix::read(mine, &mut buffer), Moved::Bytes(1));
            assert_eq!(buffer[0], text[0]);
            assert_eq!(unix::read(mine, &mut buffer), Moved::Ended, "nobody else holds it");
        }
    }

    #[test]
    fn a_full_stream_takes_no_descriptor() {
        let (there, here) = pair();
        while let Moved::Bytes(_) = send(&there, &[0; 65536], None) {}
        assert_eq!(send(&there, b"x", Some(here.as_fd())), Moved::Later);
        drop(here);
        assert_eq!(send(&there, b"x", None), Moved::Ended);
    }
}
