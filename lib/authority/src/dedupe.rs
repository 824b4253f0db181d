//! Envelopes that have been carried out (spec 4.1): the same one again has no second effect.

use crate::refused::Refused;
use crate::workers::hex;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What makes a command one that may be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Its sender's name for it.
    pub id: String,
    /// What two sendings of one command have in common.
    pub idempotency_key: String,
    /// When it was first sent.
    pub issued_unix_ms: u64,
}

/// A command that was carried out, and what was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// The envelope's idempotency key.
    pub key: String,
    /// sha256 of the command.
    cmd: String,
    /// Its acknowledgement, without the number.
    pub ack: String,
    /// Its number; 0 while it is not durable.
    pub seq: u64,
}

/// The last envelopes, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dedupe {
    order: VecDeque<String>,
    known: BTreeMap<String, First>,
}

impl Dedupe {
    /// Id and first answer, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &First)> {
        self.order.iter().filter_map(|id| Some((id.as_str(), self.known.get(id)?)))
    }

    /// The first answer to the same envelope with the same command; Invalid where its id was used for
    /// something else.
    pub(crate) fn find(&self, envelope: &Envelope, cmd: &str) -> Result<Option<&First>, Refused> {
        let Some(first) = self.known.get(&envelope.id) else { return Ok(None) };
        let other = match (first.key == envelope.idempotency_key, first.cmd == digest(cmd)) {
            (true, true) => return Ok(Some(first)),
            (false, _) => "idempotency_key",
            (true, false) => "cmd",
        };
        Err(Refused::invalid(format!("the id was used with another {other}")))
    }

    pub(crate) fn remember(&mut self, envelope: &Envelope, cmd: &str, ack: &str, seq: u64, most: u64) {
        while self.order.len() as u64 >= most.max(1) {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        let first = First { key: envelope.idempotency_key.clone(), cmd: digest(cmd), ack: ack.into(), seq };
        self.known.insert(envelope.id.clone(), first);
        self.order.push_back(envelope.id.clone());
    }
}

fn digest(cmd: &str) -> String {
    hex(&Sha256::digest(cmd.as_bytes()))
}
