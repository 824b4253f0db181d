//! The chain: each block is signed with the key that the block before it names, over that block's
//! signature and its own bytes, so that no block fits anywhere else.

use crate::TicketError;
use crate::block::Block;
use crate::claims::{Attenuation, Bounds, Claims, Grant, Level, check_scope, check_subject};
use crate::key::{IssuerKey, Keys};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Longest ticket, bytes.
pub const MAX_LEN: usize = 2048;
/// Most blocks.
pub const MAX_BLOCKS: usize = 8;

const PREFIX: &str = "coh1";
/// What signatures are about, so that one made for one purpose fits no other.
const BLOCK_DOMAIN: &[u8] = b"coh1 block\0";
const SEAL_DOMAIN: &[u8] = b"coh1 seal\0";
/// First byte of a proof.
const OPEN: u8 = 0;
const SEALED: u8 = 1;

/// A ticket. It shows its proof to nobody but through [`Token::reveal`].
#[derive(Clone)]
pub struct Token {
    blocks: Vec<(Vec<u8>, [u8; 64])>,
    proof: Proof,
}

#[derive(Clone)]
enum Proof {
    Open(Zeroizing<[u8; 32]>),
    Sealed([u8; 64]),
}

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Token({} blocks)", self.blocks.len())
    }
}

fn signed_text(domain: &[u8], before: &[u8], block: &[u8]) -> Vec<u8> {
    [domain, before, block].concat()
}

/// Makes a ticket. `next_seed` is 32 random bytes, the ticket's own proof.
pub fn mint(
    claims: &Claims,
    key: &IssuerKey,
    next_seed: [u8; 32],
    bounds: &Bounds,
) -> Result<Token, TicketError> {
    let next = SigningKey::from_bytes(&next_seed);
    let block = Block::first(claims, key.key_id(), next.verifying_key().to_bytes()).encode();
    let signature = key.0.sign(&signed_text(BLOCK_DOMAIN, &[], &block)).to_bytes();
    let token =
        Token { blocks: Vec::from([(block, signature)]), proof: Proof::Open(Zeroizing::new(next_seed)) };
    let grant = token.fold()?;
    bounds.check(&grant.scopes, &grant.quota)?;
    token.fits()
}

impl Token {
    /// Reads a ticket's text. Says nothing yet of whether it is genuine.
    pub fn parse(text: &str) -> Result<Token, TicketError> {
        if text.len() > MAX_LEN || !text.is_ascii() {
            return Err(TicketError::Form);
        }
        let mut parts = text.split('.');
        if parts.next() != Some(PREFIX) {
            return Err(TicketError::Form);
        }
        let parts: Vec<&str> = parts.collect();
        let Some((proof, blocks)) = parts.split_last() else { return Err(TicketError::Form) };
        if blocks.is_empty() || blocks.len() % 2 != 0 || blocks.len() / 2 > MAX_BLOCKS {
            return Err(TicketError::Form);
        }
        let pairs = blocks.chunks_exact(2).map(|pair| {
            let signature: [u8; 64] = unbase64(pair[1])?[..].try_into().map_err(|_| TicketError::Form)?;
            Ok((unbase64(pair[0])?.to_vec(), signature))
        });
        let blocks = pairs.collect::<Result<_, TicketError>>()?;
        let proof = unbase64(proof)?;
        let proof = match proof.split_first() {
            Some((&OPEN, secret)) => {
                let secret: [u8; 32] = secret.try_into().map_err(|_| TicketError::Form)?;
                Proof::Open(Zeroizing::new(secret))
            }
            Some((&SEALED, seal)) => Proof::Sealed(seal.try_into().map_err(|_| TicketError::Form)?),
            _ => return Err(TicketError::Form),
        };
        Ok(Token { blocks, proof })
    }

    /// The text that is shown at an attach. It is a secret: it goes to no log and no argument list.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(MAX_LEN));
        text.push_str(PREFIX);
        for (block, signature) in &self.blocks {
            text.push_str(&format!(
                ".{}.{}",
                Base64UrlUnpadded::encode_string(block),
                Base64UrlUnpadded::encode_string(signature)
            ));
        }
        let mut proof = Zeroizing::new(Vec::with_capacity(65));
        match &self.proof {
            Proof::Open(secret) => {
                proof.push(OPEN);
                proof.extend_from_slice(&secret[..]);
            }
            Proof::Sealed(seal) => {
                proof.push(SEALED);
                proof.extend_from_slice(seal);
            }
        }
        text.push('.');
        text.push_str(&Zeroizing::new(Base64UrlUnpadded::encode_string(&proof)));
        text
    }

    /// Takes away what `less` says, offline. `next_seed` is 32 random bytes.
    pub fn narrow(&self, less: &Attenuation, next_seed: [u8; 32]) -> Result<Token, TicketError> {
        let Proof::Open(secret) = &self.proof else { return Err(TicketError::Sealed) };
        let key = SigningKey::from_bytes(secret);
        let next = SigningKey::from_bytes(&next_seed);
        let block = Block::further(less, next.verifying_key().to_bytes()).encode();
        let signature = key.sign(&signed_text(BLOCK_DOMAIN, self.last_signature()?, &block)).to_bytes();
        let mut blocks = self.blocks.clone();
        blocks.push((block, signature));
        let token = Token { blocks, proof: Proof::Open(Zeroizing::new(next_seed)) };
        token.fold()?;
        token.fits()
    }

    /// The same ticket, never to be narrowed again.
    pub fn seal(&self) -> Result<Token, TicketError> {
        let Proof::Open(secret) = &self.proof else { return Err(TicketError::Sealed) };
        let seal =
            SigningKey::from_bytes(secret).sign(&signed_text(SEAL_DOMAIN, self.last_signature()?, &[]));
        Token { blocks: self.blocks.clone(), proof: Proof::Sealed(seal.to_bytes()) }.fits()
    }

    /// Can it be narrowed no more?
    pub fn is_sealed(&self) -> bool {
        matches!(self.proof, Proof::Sealed(_))
    }

    fn fits(self) -> Result<Token, TicketError> {
        if self.blocks.len() > MAX_BLOCKS || self.reveal().len() > MAX_LEN {
            return Err(TicketError::Bounds("length"));
        }
        Ok(self)
    }

    fn last_signature(&self) -> Result<&[u8; 64], TicketError> {
        self.blocks.last().map(|(_, signature)| signature).ok_or(TicketError::Form)
    }

    /// What the ticket says, believed by nobody yet: for `cohticket show` and for finding a role.
    pub fn claims_unverified(&self) -> Result<Grant, TicketError> {
        self.fold()
    }

    /// Every check of spec 3: signatures, proof, canonical form, narrowing, audience, time, bounds.
    pub fn verify(
        &self,
        keys: &Keys,
        hive: &str,
        bounds: &Bounds,
        now_ms: u64,
    ) -> Result<Grant, TicketError> {
        let mut before: &[u8] = &[];
        let mut signer: Option<VerifyingKey> = None;
        for (bytes, signature) in &self.blocks {
            let block = Block::decode(bytes)?;
            let key = match signer {
                Some(key) => key,
                None => {
                    let id = block.key.as_deref().ok_or(TicketError::Claims("key"))?;
                    *keys.get(id).ok_or(TicketError::Key)?
                }
            };
            key.verify_strict(&signed_text(BLOCK_DOMAIN, before, bytes), &Signature::from_bytes(signature))
                .map_err(|_| TicketError::Signature)?;
            before = signature;
            signer = Some(VerifyingKey::from_bytes(&block.next).map_err(|_| TicketError::Claims("next"))?);
        }
        let last = signer.ok_or(TicketError::Form)?;
        match &self.proof {
            Proof::Open(secret) => {
                let public = SigningKey::from_bytes(secret).verifying_key();
                if !bool::from(public.as_bytes().ct_eq(last.as_bytes())) {
                    return Err(TicketError::Proof);
                }
            }
            Proof::Sealed(seal) => last
                .verify_strict(&signed_text(SEAL_DOMAIN, before, &[]), &Signature::from_bytes(seal))
                .map_err(|_| TicketError::Proof)?,
        }
        let grant = self.fold()?;
        if grant.hive != hive {
            return Err(TicketError::Hive);
        }
        bounds.check(&grant.scopes, &grant.quota)?;
        if now_ms >= grant.expires_ms {
            return Err(TicketError::Expired);
        }
        Ok(grant)
    }

    /// The blocks taken together, each no wider than those before it.
    fn fold(&self) -> Result<Grant, TicketError> {
        let mut grant: Option<Grant> = None;
        for (bytes, signature) in &self.blocks {
            let block = Block::decode(bytes)?;
            block.scopes.iter().flatten().try_for_each(check_scope)?;
            grant = Some(match grant {
                None => first(block)?,
                Some(grant) => grant.narrow(&further(block)?, level_key(signature, bytes))?,
            });
        }
        grant.ok_or(TicketError::Form)
    }
}

/// What the account of a further block goes by. The block is in it, since who signs can make two
/// signatures begin alike.
fn level_key(signature: &[u8; 64], block: &[u8]) -> [u8; 16] {
    let digest = Sha256::new().chain_update(signature).chain_update(block).finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    key
}

fn first(block: Block) -> Result<Grant, TicketError> {
    let absent = TicketError::Claims;
    if block.v != Some(1) || block.note.is_some() {
        return Err(absent("version"));
    }
    let role: crate::Role = block.role.ok_or(absent("role"))?.parse()?;
    let subject = block.subject.unwrap_or_default();
    if role.is_worker() || !subject.is_empty() {
        check_subject(&subject)?;
    }
    let id = block.id.ok_or(absent("id"))?;
    let level = Level {
        key: id,
        expires_ms: block.expires_ms.ok_or(absent("expires_ms"))?,
        budget: block.budget.unwrap_or_default(),
        scopes: block.scopes.unwrap_or_default(),
        quota: block.quota.unwrap_or_default(),
    };
    Ok(Grant {
        id: id.iter().map(|b| format!("{b:02x}")).collect(),
        hive: block.hive.ok_or(absent("hive"))?,
        key: block.key.ok_or(absent("key"))?,
        role,
        subject,
        issued_ms: block.issued_ms.ok_or(absent("issued_ms"))?,
        expires_ms: level.expires_ms,
        budget: level.budget,
        scopes: level.scopes.clone(),
        quota: level.quota,
        levels: Vec::from([level]),
    })
}

fn further(block: Block) -> Result<Attenuation, TicketError> {
    let is_misplaced = block.v.is_some()
        || block.id.is_some()
        || block.key.is_some()
        || block.hive.is_some()
        || block.subject.is_some()
        || block.issued_ms.is_some();
    if is_misplaced {
        return Err(TicketError::Claims("further block"));
    }
    Ok(Attenuation {
        expires_ms: block.expires_ms,
        scopes: block.scopes,
        budget: block.budget,
        quota: block.quota,
        role: block.role.map(|role| role.parse()).transpose()?,
        note: block.note,
    })
}

/// Strict base64url: no padding, no stray bits, nothing but the one form of these bytes.
fn unbase64(text: &str) -> Result<Zeroizing<Vec<u8>>, TicketError> {
    let bytes = Zeroizing::new(Base64UrlUnpadded::decode_vec(text).map_err(|_| TicketError::Base64)?);
    let again = Zeroizing::new(Base64UrlUnpadded::encode_string(&bytes));
    if *again == text { Ok(bytes) } else { Err(TicketError::Base64) }
}
