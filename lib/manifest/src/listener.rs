//! Where a door listens, and which rules hold there.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use serde::{Deserialize, Serialize};

/// One listening address of the doors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Unix socket, TCP, or TLS over TCP.
    pub kind: ListenerKind,
    /// `unix`: a path, relative to the run directory; `tcp`, `tls`: `HOST!PORT`.
    pub addr: String,
    /// Whether a clunked fid number may come back.
    pub fids: Fids,
    /// What happens at `tags_per_session`.
    pub overflow: Overflow,
    /// The user who runs the hive is a queen here without a ticket (Unix sockets only).
    pub local_queen: bool,
    /// `tls`: certificate chain by reference, `file:PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// `tls`: secret key by reference, `file:PATH` or `env:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// How a client reaches a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerKind {
    /// A Unix stream socket, mode 0600.
    Unix,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// Whether a clunked fid number may come back (spec 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fids {
    /// Never in its session.
    Strict,
    /// At once: what kernels' clients need.
    Reuse,
}

/// What happens to a request beyond `tags_per_session` (spec 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// It is refused: Busy.
    Busy,
    /// It is not read until there is room.
    Wait,
}

/// Why an address is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddrError(String);

impl fmt::Display for AddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for AddrError {}

impl ListenerKind {
    /// The word of the manifest and of a dial string.
    pub fn word(self) -> &'static str {
        match self {
            ListenerKind::Unix => "unix",
            ListenerKind::Tcp => "tcp",
            ListenerKind::Tls => "tls",
        }
    }
}

impl Listener {
    /// A listener for our own clients (strict fids, Busy at the limit) from `tcp!HOST!PORT`,
    /// as `coh up --listen` takes it. TLS needs keys, which only the manifest names.
    pub fn parse(dial: &str) -> Result<Listener, AddrError> {
        let (kind, addr) = dial
            .split_once('!')
            .ok_or_else(|| AddrError(format!("{dial}: not an address; write tcp!HOST!PORT or unix!PATH")))?;
        let kind = match kind {
            "unix" => ListenerKind::Unix,
            "tcp" => ListenerKind::Tcp,
            "tls" => {
                return Err(AddrError(format!(
                    "{dial}: a tls listener needs cert and key; declare it under [[listeners]] in the manifest"
                )));
            }
            other => return Err(AddrError(format!("{dial}: {other} found; unix or tcp allowed"))),
        };
        let listener = Listener {
            kind,
            addr: addr.to_string(),
            fids: Fids::Strict,
            overflow: Overflow::Busy,
            local_queen: false,
            cert: None,
            key: None,
        };
        listener.check().map_err(|what| AddrError(format!("{dial}: {what}")))?;
        Ok(listener)
    }

    /// The same address for foreign clients (spec 1.7): fid numbers come back, and a client
    /// with too much in flight is made to wait.
    #[must_use]
    pub fn compat(mut self) -> Listener {
        self.fids = Fids::Reuse;
        self.overflow = Overflow::Wait;
        self
    }

    /// `HOST` and `PORT` of a tcp or tls listener.
    pub fn host_port(&self) -> Option<(&str, u16)> {
        if self.kind == ListenerKind::Unix {
            return None;
        }
        let (host, port) = self.addr.rsplit_once('!')?;
        Some((host, port.parse().ok()?))
    }

    /// What a client on this machine dials: `tcp!127.0.0.1!5640`, `unix!/run/…/door`.
    pub fn dial_string(&self, run: &str) -> String {
        match self.kind {
            ListenerKind::Unix if !self.addr.starts_with('/') => format!("unix!{run}/{}", self.addr),
            kind => format!("{}!{}", kind.word(), self.addr),
        }
    }

    /// What is wrong with the address, if anything is.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.kind {
            ListenerKind::Unix => {
                // sockaddr_un holds 108 bytes with the NUL; the run directory needs some of them.
                let sound = !self.addr.is_empty()
                    && self.addr.len() <= 100
                    && self.addr.split('/').skip(usize::from(self.addr.starts_with('/'))).all(is_plain_name);
                if sound {
                    Ok(())
                } else {
                    Err(format!("{:?} found; a path of 1..100 bytes allowed", self.addr))
                }
            }
            ListenerKind::Tcp | ListenerKind::Tls => match self.host_port() {
                Some((host, port)) if !host.is_empty() && !host.contains('!') && port != 0 => Ok(()),
                _ => Err(format!("{:?} found; HOST!PORT with a port of 1..65535 allowed", self.addr)),
            },
        }
    }
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_from_the_command_line_is_strict_and_shows_tickets() {
        let listener = Listener::parse("tcp!127.0.0.1!5640").expect("parses");
        assert_eq!(listener.host_port(), Some(("127.0.0.1", 5640)));
        assert_eq!((listener.fids, listener.local_queen), (Fids::Strict, false));
        assert_eq!(listener.dial_string("/run/coh"), "tcp!127.0.0.1!5640");
        assert_eq!(listener.compat().overflow, Overflow::Wait);
    }

    #[test]
    fn an_ipv6_host_keeps_its_colons() {
        assert_eq!(Listener::parse("tcp!::1!5640").expect("parses").host_port(), Some(("::1", 5640)));
    }

    #[test]
    fn a_unix_path_is_relative_to_the_run_directory() {
        assert_eq!(
            Listener::parse("unix!door").expect("parses").dial_string("/run/coh"),
            "unix!/run/coh/door"
        );
        assert_eq!(Listener::parse("unix!/x/door").expect("parses").dial_string("/run/coh"), "unix!/x/door");
    }

    #[test]
    fn a_bad_address_says_what_to_write() {
        for (dial, says) in [
            ("5640", "write tcp!HOST!PORT"),
            ("udp!h!1", "udp found; unix or tcp allowed"),
            ("tcp!h", "HOST!PORT"),
            ("tcp!h!0", "1..65535"),
            ("tcp!h!65536", "1..65535"),
            ("tcp!!1", "HOST!PORT"),
            ("unix!../door", "1..100 bytes"),
            ("tls!h!1", "[[listeners]]"),
        ] {
            let error = Listener::parse(dial).expect_err(dial).to_string();
            assert!(error.contains(says), "{dial}: {error}");
        }
    }
}
