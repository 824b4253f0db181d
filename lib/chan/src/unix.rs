//! The stream of the hosted hive: Unix sockets in the run directory, never blocking.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Listens at `path`, mode 0600, in place of whatever an earlier life has left there.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
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

/// Connects to a listener at `path`; the stream does not block.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// The user at the other end.
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}

/// What a read or write of a stream that does not block came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// So many bytes; of a read never 0.
    Bytes(usize),
    /// Nothing now.
    Later,
    /// Nothing ever again.
    Ended,
}

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
