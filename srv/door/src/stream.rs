//! A client's connection: Unix, TCP, or TLS over TCP; never blocking.

use chan::unix::{self, Moved};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// A connection.
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    pub(crate) fn tls(config: &Arc<ServerConfig>, tcp: TcpStream) -> Option<Stream> {
        let connection = ServerConnection::new(Arc::clone(config)).ok()?;
        Some(Stream::Tls(Box::new(StreamOwned::new(connection, tcp))))
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Moved {
        match self {
            Stream::Unix(stream) => unix::read(stream, buffer),
            Stream::Tcp(stream) => unix::read(stream, buffer),
            Stream::Tls(stream) => unix::read(stream, buffer),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Moved {
        match self {
            Stream::Unix(stream) => unix::write(stream, bytes),
            Stream::Tcp(stream) => unix::write(stream, bytes),
            Stream::Tls(stream) => unix::write(stream, bytes),
        }
    }

    /// Sends what TLS has wrapped and the socket had no room for; says whether some is left.
    pub(crate) fn is_backed_up(&mut self) -> bool {
        match self {
            Stream::Tls(stream) => {
                // An error shows at the next read or write.
                let _ = stream.flush();
                stream.conn.wants_write()
            }
            _ => false,
        }
    }

    /// Can there be bytes that no event of the socket will tell of?
    pub(crate) fn may_hold_more(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Tls(stream) => stream.sock.as_fd(),
        }
    }
}

/// The keys of a TLS listener, from PEM texts.
pub(crate) fn tls_config(cert: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, String> {
    let chain: Vec<CertificateDer> =
        CertificateDer::pem_slice_iter(cert).collect::<Result<_, _>>().map_err(|e| format!("cert: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| format!("key: {e}"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| e.to_string())?;
    Ok(Arc::new(config))
}
