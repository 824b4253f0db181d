//! A block's bytes: a CBOR map in RFC 8949's core deterministic form. Decoding encodes again and
//! compares, so that one set of claims has one encoding.

use crate::TicketError;
use crate::claims::{Attenuation, Budget, Claims, Quota, Scope};
use alloc::string::String;
use alloc::vec::Vec;
use minicbor::encode::Error as EncodeError;
use minicbor::{Decoder, Encoder};

/// Every claim that a block can have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Block {
    pub(crate) v: Option<u64>,
    pub(crate) id: Option<[u8; 16]>,
    pub(crate) key: Option<String>,
    pub(crate) hive: Option<String>,
    /// The public key that must sign the next block, or the seal.
    pub(crate) next: [u8; 32],
    pub(crate) note: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) quota: Option<Quota>,
    pub(crate) budget: Option<Budget>,
    pub(crate) scopes: Option<Vec<Scope>>,
    pub(crate) subject: Option<String>,
    pub(crate) issued_ms: Option<u64>,
    pub(crate) expires_ms: Option<u64>,
}

/// Longest note and key id.
const TEXT_MAX: usize = 128;

impl Block {
    pub(crate) fn first(claims: &Claims, key: String, next: [u8; 32]) -> Block {
        Block {
            v: Some(1),
            id: Some(claims.id),
            key: Some(key),
            hive: Some(claims.hive.clone()),
            next,
            note: None,
            role: Some(claims.role.as_str().into()),
            quota: (claims.quota != Quota::default()).then_some(claims.quota),
            budget: (claims.budget != Budget::default()).then_some(claims.budget),
            scopes: (!claims.scopes.is_empty()).then(|| claims.scopes.clone()),
            subject: (!claims.subject.is_empty()).then(|| claims.subject.clone()),
            issued_ms: Some(claims.issued_ms),
            expires_ms: Some(claims.expires_ms),
        }
    }

    pub(crate) fn further(less: &Attenuation, next: [u8; 32]) -> Block {
        Block {
            next,
            note: less.note.clone(),
            role: less.role.map(|role| role.as_str().into()),
            quota: less.quota,
            budget: less.budget,
            scopes: less.scopes.clone(),
            expires_ms: less.expires_ms,
            ..Block::default()
        }
    }

    /// The canonical bytes: keys by length, then by bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new(Vec::new());
        // Writing to a vector does not fail.
        let _ = self.write(&mut out);
        out.into_writer()
    }

    fn write(&self, out: &mut Encoder<Vec<u8>>) -> Result<(), EncodeError<core::convert::Infallible>> {
        let present = [
            self.v.is_some(),
            self.id.is_some(),
            self.key.is_some(),
            self.hive.is_some(),
            true,
            self.note.is_some(),
            self.role.is_some(),
            self.quota.is_some(),
            self.budget.is_some(),
            self.scopes.is_some(),
            self.subject.is_some(),
            self.issued_ms.is_some(),
            self.expires_ms.is_some(),
        ];
        out.map(present.iter().filter(|is_there| **is_there).count() as u64)?;
        if let Some(v) = self.v {
            out.str("v")?.u64(v)?;
        }
        if let Some(id) = &self.id {
            out.str("id")?.bytes(id)?;
        }
        text(out, "key", self.key.as_deref())?;
        text(out, "hive", self.hive.as_deref())?;
        out.str("next")?.bytes(&self.next)?;
        text(out, "note", self.note.as_deref())?;
        text(out, "role", self.role.as_deref())?;
        if let Some(quota) = &self.quota {
            let fields = [
                ("cursor_resumes", quota.cursor_resumes),
                ("bandwidth_bytes", quota.bandwidth_bytes),
                ("cursor_advances", quota.cursor_advances),
            ];
            numbers(out, "quota", &fields)?;
        }
        if let Some(budget) = &self.budget {
            numbers(out, "budget", &[("ops", budget.ops), ("ticks", budget.ticks), ("ttl_s", budget.ttl_s)])?;
        }
        if let Some(scopes) = &self.scopes {
            out.str("scopes")?.array(scopes.len() as u64)?;
            for scope in scopes {
                out.map(2 + u64::from(scope.rate_per_s > 0))?;
                out.str("path")?.str(&scope.path)?.str("verbs")?.str(scope.verbs.as_str())?;
                if scope.rate_per_s > 0 {
                    out.str("rate_per_s")?.u32(scope.rate_per_s)?;
                }
            }
        }
        text(out, "subject", self.subject.as_deref())?;
        if let Some(ms) = self.issued_ms {
            out.str("issued_ms")?.u64(ms)?;
        }
        if let Some(ms) = self.expires_ms {
            out.str("expires_ms")?.u64(ms)?;
        }
        Ok(())
    }

    /// Reads canonical bytes, and no others.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Block, TicketError> {
        let block = Block::read(&mut Decoder::new(bytes)).ok_or(TicketError::Block)?;
        if block.encode() != bytes {
            return Err(TicketError::Block);
        }
        Ok(block)
    }

    fn read(from: &mut Decoder) -> Option<Block> {
        let mut block = Block::default();
        for _ in 0..from.map().ok()?? {
            match from.str().ok()? {
                "v" => block.v = Some(from.u64().ok()?),
                "id" => block.id = Some(from.bytes().ok()?.try_into().ok()?),
                "key" => block.key = Some(short(from)?),
                "hive" => block.hive = Some(short(from)?),
                "next" => block.next = from.bytes().ok()?.try_into().ok()?,
                "note" => block.note = Some(short(from)?),
                "role" => block.role = Some(short(from)?),
                "subject" => block.subject = Some(short(from)?),
                "issued_ms" => block.issued_ms = Some(from.u64().ok()?),
                "expires_ms" => block.expires_ms = Some(from.u64().ok()?),
                "quota" => {
                    let mut quota = Quota::default();
                    read_numbers(from, |name, n| {
                        match name {
                            "cursor_resumes" => quota.cursor_resumes = Some(n),
                            "bandwidth_bytes" => quota.bandwidth_bytes = Some(n),
                            "cursor_advances" => quota.cursor_advances = Some(n),
                            _ => return None,
                        }
                        Some(())
                    })?;
                    block.quota = Some(quota);
                }
                "budget" => {
                    let mut budget = Budget::default();
                    read_numbers(from, |name, n| {
                        match name {
                            "ops" => budget.ops = Some(n),
                            "ticks" => budget.ticks = Some(n),
                            "ttl_s" => budget.ttl_s = Some(n),
                            _ => return None,
                        }
                        Some(())
                    })?;
                    block.budget = Some(budget);
                }
                "scopes" => {
                    // No reservation by what the bytes claim: each scope is read before it counts.
                    let mut scopes = Vec::new();
                    for _ in 0..from.array().ok()?? {
                        scopes.push(read_scope(from)?);
                    }
                    block.scopes = Some(scopes);
                }
                _ => return None,
            }
        }
        Some(block)
    }
}

type Wrote = Result<(), EncodeError<core::convert::Infallible>>;

fn text(out: &mut Encoder<Vec<u8>>, name: &str, value: Option<&str>) -> Wrote {
    if let Some(value) = value {
        out.str(name)?.str(value)?;
    }
    Ok(())
}

fn numbers(out: &mut Encoder<Vec<u8>>, name: &str, fields: &[(&str, Option<u64>)]) -> Wrote {
    out.str(name)?.map(fields.iter().filter(|(_, value)| value.is_some()).count() as u64)?;
    for (name, value) in fields {
        if let Some(value) = value {
            out.str(name)?.u64(*value)?;
        }
    }
    Ok(())
}

fn short(from: &mut Decoder) -> Option<String> {
    from.str().ok().filter(|text| text.len() <= TEXT_MAX).map(String::from)
}

fn read_numbers<'b>(from: &mut Decoder<'b>, mut take: impl FnMut(&'b str, u64) -> Option<()>) -> Option<()> {
    for _ in 0..from.map().ok()?? {
        let name = from.str().ok()?;
        take(name, from.u64().ok()?)?;
    }
    Some(())
}

fn read_scope(from: &mut Decoder) -> Option<Scope> {
    let (mut path, mut verbs, mut rate_per_s) = (None, None, 0);
    for _ in 0..from.map().ok()?? {
        match from.str().ok()? {
            "path" => path = Some(String::from(from.str().ok()?)),
            "verbs" => verbs = Some(from.str().ok()?.parse().ok()?),
            "rate_per_s" => rate_per_s = from.u32().ok()?,
            _ => return None,
        }
    }
    Some(Scope { path: path?, verbs: verbs?, rate_per_s })
}
