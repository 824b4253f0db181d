//! The stream of the hosted hive: Unix sockets in the run directory, never blocking.

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Listens at `path`, mode 0600, in place of whatever an earlier life has left there; where somebody
/// still answers, it is `AddrInUse`.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Ok(live) = connect(path) {
        let pid = peer(&live).map_or(0, |(pid, _)| pid);
        return Err(io::Error::new(ErrorKind::AddrInUse, format!("already in use by pid {pid}")));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    // The kernel's cap (net.core.somaxconn) bounds this; a burst of clients must not be refused.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects to a listener at `path`, and does not wait: a listener whose queue is full is `WouldBlock`.
/// Neither does the stream.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path).map_err(|_| {
        let len = path.as_os_str().len();
        io::Error::new(ErrorKind::InvalidInput, format!("a path of {len} bytes; a socket's has at most 107"))
    })?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket.into())
}

/// The process and the user at the other end, as they were when they connected or listened.
pub fn peer(stream: &UnixStream) -> io::Result<(i32, u32)> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    Ok((peer.pid.as_raw_nonzero().get(), peer.uid.as_raw()))
}

/// The user at the other end.
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    Ok(peer(stream)?.1)
}

/// Has an accept failed for want of descriptors or memory? The one who waits is still there, and shows as
/// ready at once again: who polls leaves the listener alone for a while.
pub fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].into_iter().any(|e| errno == Some(e))
}

pub use crate::Moved;

/// Reads once.
pub fn read(stream: &mut impl Read, buffer: &mut [u8]) -> Moved {
    loop {
        return match stream.read(buffer) {
            Ok(0) => Moved::Ended,
            Ok(n) => Moved::Bytes(n),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Moved::Later,
            Err(_) => Moved::Ended,
        };
    }
}

/// Writes once.
pub fn write(stream: &mut impl Write, bytes: &[u8]) -> Moved {
    loop {
        return match stream.write(bytes) {
            Ok(n) => Moved::Bytes(n),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Moved::Later,
            Err(_) => Moved::Ended,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_for_its_user() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = listen(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_live_socket_is_not_taken_over_and_a_dead_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = listen(&path).unwrap();
        let error = listen(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(listener);
        listen(&path).unwrap();
    }

    #[test]
    fn bytes_move_and_a_peer_that_is_gone_is_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = listen(&path).unwrap();
        let mut there = connect(&path).unwrap();
        let (mut here, _) = listener.accept().unwrap();
        here.set_nonblocking(true).unwrap();
        assert_eq!(peer(&here).unwrap().0, std::process::id() as i32);

        let mut buffer = [0; 16];
        assert_eq!(read(&mut here, &mut buffer), Moved::Later);
        assert_eq!(write(&mut there, b"abcde"), Moved::Bytes(5));
        assert_eq!(read(&mut here, &mut buffer), Moved::Bytes(5));
        assert_eq!(&buffer[..5], b"abcde");
        drop(there);
        assert_eq!(read(&mut here, &mut buffer), Moved::Ended);
        assert_eq!(write(&mut here, b"x"), Moved::Ended);
    }

    #[test]
    fn a_full_stream_and_a_full_queue_say_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let mut first = connect(&path).unwrap();
        while let Moved::Bytes(_) = write(&mut first, &[0; 65536]) {}
        assert_eq!(write(&mut first, b"x"), Moved::Later);
        let second = connect(&path).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_path_too_long_is_said_with_its_length() {
        let path = Path::new("/tmp").join("x".repeat(120));
        let error = connect(&path).unwrap_err();
        assert!(error.to_string().contains("125 bytes"), "{error}");
        assert!(listen(&path).is_err());
    }
}
