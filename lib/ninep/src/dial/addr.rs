//! Where a door is, and who wants in.

use super::DialError;
use std::fmt;
use std::format;
use std::path::PathBuf;
use std::str::FromStr;
use std::string::{String, ToString};

/// The address of a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addr {
    /// `unix!PATH`
    Unix(PathBuf),
    /// `tcp!HOST!PORT`
    Tcp(String, u16),
    /// `tls!HOST!PORT` or `tls!HOST!PORT!ca=FILE`
    Tls {
        /// Also the name that the certificate must have.
        host: String,
        /// TCP port.
        port: u16,
        /// The only authority that is believed; None: the system's and Mozilla's.
        ca: Option<PathBuf>,
    },
}

impl FromStr for Addr {
    type Err = DialError;

    fn from_str(text: &str) -> Result<Addr, DialError> {
        let wrong = || {
            DialError::Addr(format!(
                "{text}: not an address; unix!PATH, tcp!HOST!PORT or tls!HOST!PORT[!ca=FILE] is wanted"
            ))
        };
        let (kind, rest) = text.split_once('!').ok_or_else(wrong)?;
        let host_port = |rest: &str| {
            let (host, port) = rest.rsplit_once('!').ok_or_else(wrong)?;
            let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
            if host.is_empty() { Err(wrong()) } else { Ok((host.to_string(), port)) }
        };
        match kind {
            "unix" if !rest.is_empty() => Ok(Addr::Unix(rest.into())),
            "tcp" => host_port(rest).map(|(host, port)| Addr::Tcp(host, port)),
            "tls" => {
                let (rest, ca) = match rest.split_once("!ca=") {
                    Some((rest, ca)) => (rest, Some(PathBuf::from(ca))),
                    None => (rest, None),
                };
                host_port(rest).map(|(host, port)| Addr::Tls { host, port, ca })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Unix(path) => write!(f, "unix!{}", path.display()),
            Addr::Tcp(host, port) => write!(f, "tcp!{host}!{port}"),
            Addr::Tls { host, port, ca: None } => write!(f, "tls!{host}!{port}"),
            Addr::Tls { host, port, ca: Some(ca) } => write!(f, "tls!{host}!{port}!ca={}", ca.display()),
        }
    }
}
