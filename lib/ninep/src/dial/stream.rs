//! The connection's bytes: Unix, TCP, TLS over TCP, or what a caller puts in their place; blocking, with a
//! deadline.

use super::{Addr, DialError};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::boxed::Box;
use std::format;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::string::ToString;
use std::sync::Arc;
use std::time::Duration;

/// A connection's bytes.
pub enum Stream {
    /// `unix!`
    Unix(UnixStream),
    /// `tcp!`
    Tcp(TcpStream),
    /// `tls!`
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// What records another stream, or plays one again.
    Other(Box<dyn Transport>),
}

/// Bytes of the caller's own. It cannot be waited for with poll(2): a [`super::Conn`] takes it, a shared
/// connection does not.
pub trait Transport: Read + Write + Send {
    /// How long a read or a write may wait from now on.
    fn set_deadline(&self, deadline: Option<Duration>) -> io::Result<()>;
}

/// Where Debian keeps the authorities that the machine's administrator believes.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

impl Stream {
    /// Connects; over TLS nothing has been said yet.
    pub fn dial(addr: &Addr, deadline: Duration) -> Result<Stream, DialError> {
        let said = |error: io::Error| DialError::Connect { addr: addr.to_string(), error };
        match addr {
            Addr::Unix(path) => UnixStream::connect(path).map(Stream::Unix).map_err(said),
            Addr::Tcp(host, port) => tcp(host, *port, deadline).map(Stream::Tcp).map_err(said),
            Addr::Tls { host, port, ca } => {
                let config = tls_config(ca.as_deref())?;
                let name = ServerName::try_from(host.clone())
                    .map_err(|error| DialError::Addr(format!("{addr}: {error}")))?;
                let connection = ClientConnection::new(config, name)
                    .map_err(|error| DialError::Addr(format!("{addr}: {error}")))?;
                let tcp = tcp(host, *port, deadline).map_err(said)?;
                Ok(Stream::Tls(Box::new(StreamOwned::new(connection, tcp))))
            }
        }
    }

    /// How long a read or a write may wait from now on.
    pub fn set_deadline(&self, deadline: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Unix(s) => s.set_read_timeout(deadline).and(s.set_write_timeout(deadline)),
            Stream::Tcp(s) => s.set_read_timeout(deadline).and(s.set_write_timeout(deadline)),
            Stream::Tls(s) => s.sock.set_read_timeout(deadline).and(s.sock.set_write_timeout(deadline)),
            Stream::Other(s) => s.set_deadline(deadline),
        }
    }

    /// Reads once, and waits at most so long for something to read: `WouldBlock` where nothing has come.
    ///
    /// Of a Unix socket only poll(2) waits for bytes alone: a blocked recv(2) is also woken when the peer
    /// has taken what was sent, to sleep again, which costs both sides more than the call.
    pub fn read_within(&mut self, buffer: &mut [u8], time: Duration) -> io::Result<usize> {
        let Stream::Unix(socket) = self else { return self.read(buffer) };
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        for waits in [true, false] {
            match rustix::net::recv(&*socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN) if waits => {}
                read => return Ok(read?.0),
            }
            let mut fds = [PollFd::new(&*socket, PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&time))?;
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// From now on no read and no write waits.
    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Stream::Unix(s) => s.set_nonblocking(true),
            Stream::Tcp(s) => s.set_nonblocking(true),
            Stream::Tls(s) => s.sock.set_nonblocking(true),
            Stream::Other(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The socket; what a caller has put in the place of one has none.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Stream::Unix(s) => Some(s.as_fd()),
            Stream::Tcp(s) => Some(s.as_fd()),
            Stream::Tls(s) => Some(s.sock.as_fd()),
            Stream::Other(_) => None,
        }
    }

    /// A second handle on the socket, to wait for it with poll(2).
    pub fn pollable(&self) -> io::Result<OwnedFd> {
        let socket = self.socket().ok_or(io::ErrorKind::Unsupported)?;
        socket.try_clone_to_owned()
    }

    /// Has TLS wrapped what the socket had no room for?
    pub(super) fn is_backed_up(&self) -> bool {
        matches!(self, Stream::Tls(s) if s.conn.wants_write())
    }

    pub(super) fn shut(&self) {
        // It is gone already if this fails.
        let _ = match self {
            Stream::Unix(s) => s.shutdown(Shutdown::Both),
            Stream::Tcp(s) => s.shutdown(Shutdown::Both),
            Stream::Tls(s) => s.sock.shutdown(Shutdown::Both),
            Stream::Other(_) => Ok(()),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.read(buffer),
            Stream::Tcp(s) => s.read(buffer),
            Stream::Tls(s) => s.read(buffer),
            Stream::Other(s) => s.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.write(bytes),
            Stream::Tcp(s) => s.write(bytes),
            Stream::Tls(s) => s.write(bytes),
            Stream::Other(s) => s.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Unix(s) => s.flush(),
            Stream::Tcp(s) => s.flush(),
            Stream::Tls(s) => s.flush(),
            Stream::Other(s) => s.flush(),
        }
    }
}

/// A connection on which nothing is acknowledged any more, because a machine or a way has gone without a
/// word, ends within a minute and not within a quarter of an hour.
fn notice_the_end(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    sockopt::set_tcp_user_timeout(stream, 60_000)?;
    Ok(())
}

fn tcp(host: &str, port: u16, deadline: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for addr in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&addr, deadline) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                notice_the_end(&stream)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn tls_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, DialError> {
    let mut roots = RootCertStore::empty();
    let read = |path: &Path| {
        let said = |what: &dyn ToString| DialError::Addr(format!("{}: {}", path.display(), what.to_string()));
        CertificateDer::pem_file_iter(path)
            .map_err(|error| said(&error))?
            .collect::<Result<std::vec::Vec<_>, _>>()
            .map_err(|error| said(&error))
    };
    match ca {
        Some(path) => {
            if roots.add_parsable_certificates(read(path)?).0 == 0 {
                return Err(DialError::Addr(format!("{}: no certificate in it", path.display())));
            }
        }
        None => {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            // A machine without the file has Mozilla's list all the same.
            if let Ok(system) = read(Path::new(SYSTEM_ROOTS)) {
                roots.add_parsable_certificates(system);
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| DialError::Addr(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
