#![allow(missing_docs, unreachable_pub, dead_code)]
use std::fmt;
pub const MAX_LEN: usize = 2048;
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Read,
    Write,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    Ops,
    Scope,
    Verb,
    Expired,
    Rate,
    Bytes,
}
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Queen,
    Observer,
    WorkerHeartbeat,
}
impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Queen => "queen",
            Role::Observer => "observer",
            Role::WorkerHeartbeat => "worker-heartbeat",
        }
    }
    pub fn is_worker(self) -> bool {
        self == Role::WorkerHeartbeat
    }
}
impl std::str::FromStr for Role {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        match s {
            "queen" => Ok(Role::Queen),
            "observer" => Ok(Role::Observer),
            "worker-heartbeat" => Ok(Role::WorkerHeartbeat),
            _ => Err(()),
        }
    }
}
pub struct Scope {
    pub path: String,
}
pub struct Grant {
    pub id: String,
    pub role: Role,
    pub subject: String,
    pub scopes: Vec<Scope>,
}
#[derive(Default)]
pub struct Keys;
pub struct Bounds {
    pub max_scopes: usize,
    pub max_scope_path: usize,
    pub max_rate_per_s: u32,
    pub bandwidth_bytes: u64,
    pub cursor_resumes: u64,
    pub cursor_advances: u64,
}
#[derive(Default)]
pub struct Throttle;
#[derive(Default)]
pub struct Revocations;
impl Throttle {
    pub fn new() -> Self {
        Throttle
    }
    pub fn check(&mut self, _: &str, _: u64) -> Result<(), u64> {
        Ok(())
    }
    pub fn fail(&mut self, _: &str, _: u64) {}
}
impl Revocations {
    pub fn new(_: usize) -> Self {
        Revocations
    }
    pub fn reason(&self, _: &str) -> Option<&str> {
        None
    }
    pub fn add(&mut self, _: &str, _: &str) {}
}
#[derive(Debug)]
pub struct TicketError;
impl TicketError {
    pub fn is_expired(&self) -> bool {
        false
    }
}
impl fmt::Display for TicketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x")
    }
}
pub struct Token;
impl Token {
    pub fn parse(_: &str) -> Result<Token, TicketError> {
        Err(TicketError)
    }
    pub fn verify(&self, _: &Keys, _: &str, _: &Bounds, _: u64) -> Result<Grant, TicketError> {
        Err(TicketError)
    }
}
pub struct Meter;
impl Meter {
    pub fn new(_: &Grant, _: u64) -> Self {
        Meter
    }
    pub fn expires_ms(&self) -> u64 {
        u64::MAX
    }
    pub fn charge(&mut self, _: &str, _: Verb, _: u64, _: u64) -> Result<(), Refused> {
        Ok(())
    }
    pub fn spend(&mut self, _: u64) {}
    pub fn set_ops(&mut self, _: u64) {}
    pub fn ops_left(&self) -> Option<u64> {
        None
    }
}
impl Keys {
    pub fn add(&mut self, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }
}
