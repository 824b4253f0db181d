//! Chains of tickets: what they allow, and every way in which one can be wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;
use ticket::{
    Attenuation, Bounds, Budget, Claims, Grant, IssuerKey, Keys, Quota, Role, Scope, TicketError, Token,
    Verbs, mint,
};

const NOW: u64 = 1_000_000;
const BOUNDS: Bounds = Bounds {
    max_scopes: 8,
    max_scope_path: 128,
    max_rate_per_s: 64,
    bandwidth_bytes: 1 << 20,
    cursor_resumes: 16,
    cursor_advances: 256,
};

fn issuer() -> IssuerKey {
    IssuerKey::generate([7; 32])
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    keys.add("test", &issuer().public_hex()).unwrap();
    keys
}

fn claims() -> Claims {
    Claims {
        hive: "hive".into(),
        id: [9; 16],
        role: Role::Queen,
        subject: String::new(),
        issued_ms: NOW - 10,
        expires_ms: NOW + 1000,
        budget: Budget { ops: Some(100), ..Budget::default() },
        scopes: vec![scope("/proc", Verbs::Read, 10), scope("/log", Verbs::Both, 0)],
        quota: Quota { bandwidth_bytes: Some(1000), ..Quota::default() },
    }
}

fn scope(path: &str, verbs: Verbs, rate_per_s: u32) -> Scope {
    Scope { path: path.into(), verbs, rate_per_s }
}

fn good() -> Token {
    mint(&claims(), &issuer(), [1; 32], &BOUNDS).unwrap()
}

fn chain() -> Token {
    let less = Attenuation { expires_ms: Some(NOW + 500), ..Attenuation::default() };
    good().narrow(&less, [2; 32]).unwrap().narrow(&Attenuation::default(), [3; 32]).unwrap()
}

fn verify(text: &str) -> Result<Grant, TicketError> {
    Token::parse(text)?.verify(&keys(), "hive", &BOUNDS, NOW)
}

/// The form may not drift: what was minted once must verify for as long as its key is accepted.
#[test]
fn a_ticket_keeps_its_form() {
    let text = "coh1.q2F2AWJpZFAJCQkJCQkJCQkJCQkJCQkJY2tleWhmZTgxMmMxMmRoaXZlZGhpdmVkbmV4dFggiojj3XQJ8ZX9UtstPLpdcspnCb8d\
                lBIb83SIAbQPb1xkcm9sZWVxdWVlbmVxdW90YaFvYmFuZHdpZHRoX2J5dGVzGQPoZmJ1ZGdldKFjb3BzGGRmc2NvcGVzgqNkcGF0aGUv\
                cHJvY2V2ZXJic2FyanJhdGVfcGVyX3MKomRwYXRoZC9sb2dldmVyYnNicndpaXNzdWVkX21zGgAPQjZqZXhwaXJlc19tcxoAD0Yo.Uzy1\
                dqdX8tocA5elXEe-nUAm5wIC4Y2dufyX75oa__tC3S1gyUvPNbZ2Pb1SxZ4Hq6VZSWcvA2BwinZb2XbbAw.AAEBAQEBAQEBAQEBAQEBAQEB\
                AQEBAQEBAQEBAQEBAQEB";
    assert_eq!(*good().reveal(), text, "the same claims and keys give the same ticket");
    assert_eq!(issuer().key_id(), "fe812c12");
    assert_eq!(verify(text).unwrap().id, "09".repeat(16));
}

#[test]
fn a_good_chain_verifies_open_and_sealed() {
    assert_eq!(verify(&chain().reveal()).unwrap().expires_ms, NOW + 500);
    let sealed = chain().seal().unwrap();
    assert_eq!(verify(&sealed.reveal()).unwrap().role, Role::Queen);
    assert_eq!(sealed.narrow(&Attenuation::default(), [4; 32]).unwrap_err(), TicketError::Sealed);
    assert_eq!(sealed.seal().unwrap_err(), TicketError::Sealed);
    assert!(!format!("{:?}", chain()).contains("AgIC"), "a proof is not shown");
}

#[test]
fn the_wrong_hive_time_or_issuer_is_refused() {
    let token = good();
    assert_eq!(token.verify(&keys(), "other", &BOUNDS, NOW).unwrap_err(), TicketError::Hive);
    assert_eq!(token.verify(&keys(), "hive", &BOUNDS, NOW + 1000).unwrap_err(), TicketError::Expired);
    assert_eq!(token.verify(&Keys::default(), "hive", &BOUNDS, NOW).unwrap_err(), TicketError::Key);
    let forged = mint(&claims(), &IssuerKey::generate([8; 32]), [1; 32], &BOUNDS).unwrap();
    assert_eq!(verify(&forged.reveal()).unwrap_err(), TicketError::Key);
    let tight = Bounds { max_scopes: 1, ..BOUNDS };
    assert!(matches!(token.verify(&keys(), "hive", &tight, NOW), Err(TicketError::Bounds(_))));
}

/// Every byte of a ticket changed, every prefix of it, every part dropped, doubled or exchanged.
#[test]
fn no_change_of_a_ticket_verifies() {
    let mut refused = 0;
    for token in [good(), chain(), chain().seal().unwrap()] {
        let text = token.reveal().to_string();
        let mut wrong = Vec::new();
        for at in 0..text.len() {
            wrong.push(text[..at].to_string());
            for new in ["A", "_", ".", "=", "\0", "é"] {
                if text.is_char_boundary(at) && text[at..=at] != *new {
                    wrong.push(format!("{}{new}{}", &text[..at], &text[at + 1..]));
                }
            }
        }
        let parts: Vec<&str> = text.split('.').collect();
        for a in 0..parts.len() {
            let mut without = parts.clone();
            without.remove(a);
            wrong.push(without.join("."));
            let mut twice = parts.clone();
            twice.insert(a, parts[a]);
            wrong.push(twice.join("."));
            for b in 0..a {
                let mut exchanged = parts.clone();
                exchanged.swap(a, b);
                wrong.push(exchanged.join("."));
            }
        }
        wrong.extend([format!("{text} "), format!("{text}."), text.to_uppercase(), format!("{text}A")]);
        for wrong in wrong {
            assert!(verify(&wrong).is_err(), "{wrong}");
            refused += 1;
        }
    }
    assert!(refused > 200);
}

/// A block signed for one chain does not continue another, nor does a proof end one.
#[test]
fn nothing_fits_into_another_chain() {
    let other = mint(&Claims { id: [8; 16], ..claims() }, &issuer(), [1; 32], &BOUNDS).unwrap();
    let other = other.narrow(&Attenuation::default(), [2; 32]).unwrap();
    let (one, two) = (chain().reveal().to_string(), other.reveal().to_string());
    let (one, two): (Vec<&str>, Vec<&str>) = (one.split('.').collect(), two.split('.').collect());
    // The keys are the same, the signature before is not.
    let spliced = [&one[..3], &two[3..]].concat().join(".");
    assert_eq!(verify(&spliced).unwrap_err(), TicketError::Signature);
    // A proof of an earlier link does not widen a chain that has gone on.
    let first = good().reveal().to_string();
    let early = [&one[..one.len() - 1], &[first.rsplit('.').next().unwrap()]].concat().join(".");
    assert_eq!(verify(&early).unwrap_err(), TicketError::Proof);
}

/// Blocks that are signed properly and say too much.
#[test]
fn a_signed_block_cannot_widen() {
    let base = good();
    let wider = [
        Attenuation { expires_ms: Some(NOW + 1001), ..Attenuation::default() },
        Attenuation { role: Some(Role::WorkerGpu), ..Attenuation::default() },
        Attenuation { scopes: Some(vec![]), ..Attenuation::default() },
        Attenuation { scopes: Some(vec![scope("/", Verbs::Read, 1)]), ..Attenuation::default() },
        Attenuation { scopes: Some(vec![scope("/process", Verbs::Read, 1)]), ..Attenuation::default() },
        Attenuation { scopes: Some(vec![scope("/proc", Verbs::Write, 1)]), ..Attenuation::default() },
        Attenuation { scopes: Some(vec![scope("/proc", Verbs::Both, 1)]), ..Attenuation::default() },
        Attenuation { scopes: Some(vec![scope("/proc", Verbs::Read, 11)]), ..Attenuation::default() },
        Attenuation { scopes: Some(vec![scope("/proc", Verbs::Read, 0)]), ..Attenuation::default() },
        Attenuation {
            budget: Some(Budget { ops: Some(101), ..Budget::default() }),
            ..Attenuation::default()
        },
        Attenuation {
            quota: Some(Quota { bandwidth_bytes: Some(1001), ..Quota::default() }),
            ..Attenuation::default()
        },
    ];
    for less in wider {
        assert!(matches!(base.narrow(&less, [5; 32]), Err(TicketError::Widens(_))), "{less:?}");
    }
    let observer = Attenuation { role: Some(Role::Observer), ..Attenuation::default() };
    let back = Attenuation { role: Some(Role::Queen), ..Attenuation::default() };
    assert!(base.narrow(&observer, [5; 32]).unwrap().narrow(&back, [6; 32]).is_err());
}

/// Blocks in other forms than the one canonical, signed by the issuer herself.
#[test]
fn only_canonical_blocks_count() {
    let text = good().reveal().to_string();
    let parts: Vec<&str> = text.split('.').collect();
    let block = Base64UrlUnpadded::decode_vec(parts[1]).unwrap();
    let sign = |block: &[u8]| {
        let signature = SigningKey::from_bytes(&[7; 32]).sign(&[b"coh1 block\0", block].concat());
        let encode = Base64UrlUnpadded::encode_string;
        format!("coh1.{}.{}.{}", encode(block), encode(&signature.to_bytes()), parts[3])
    };
    assert!(verify(&sign(&block)).is_ok(), "the same bytes, signed again");
    // A longer form of the map's own length; of a key's; of the version's number; bytes behind it; a key twice.
    let entries = block[0] & 0x1f;
    let joined = |parts: &[&[u8]]| parts.concat();
    let longer = joined(&[&[0xb8, entries], &block[1..]]);
    let key = joined(&[&block[..1], &[0x78, 1], &block[2..]]);
    let number = joined(&[&block[..3], &[0x18, 1], &block[4..]]);
    let behind = joined(&[&block, &[0]]);
    let twice = joined(&[&[block[0] + 1], &block[1..4], &block[1..]]);
    let unknown = joined(&[&[block[0] + 1], &[0x61, b'a', 1], &block[1..]]);
    let endless = joined(&[&[0xbf], &block[1..], &[0xff]]);
    for wrong in [longer, key, number, behind, twice, unknown, endless, Vec::new(), vec![0xa0]] {
        let refused = verify(&sign(&wrong)).unwrap_err();
        assert!(matches!(refused, TicketError::Block), "{refused}: {wrong:02x?}");
    }
}

#[test]
fn a_weak_key_is_not_accepted() {
    // The neutral element and a point of order 2: small-order keys, under which forgeries verify laxly.
    for weak in [[1u8, 0].as_slice(), &[0]] {
        let mut bytes = [0u8; 32];
        bytes[..weak.len()].copy_from_slice(weak);
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert!(Keys::default().add("weak", &hex).is_err(), "{hex}");
    }
}

fn any_scope() -> impl Strategy<Value = Scope> {
    let path = prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/ab", "/c"]);
    let verbs = prop::sample::select(vec![Verbs::Read, Verbs::Write, Verbs::Both]);
    (path, verbs, 0u32..4).prop_map(|(path, verbs, rate)| scope(path, verbs, rate))
}

fn any_attenuation() -> impl Strategy<Value = Attenuation> {
    let expires_ms = prop::option::of(NOW..NOW + 2000);
    let scopes = prop::option::of(prop::collection::vec(any_scope(), 0..3));
    let ops = prop::option::of(0u64..200);
    let role = prop::option::of(prop::sample::select(Role::ALL.to_vec()));
    (expires_ms, scopes, ops, role).prop_map(|(expires_ms, scopes, ops, role)| Attenuation {
        expires_ms,
        scopes,
        budget: ops.map(|ops| Budget { ops: Some(ops), ..Budget::default() }),
        role,
        ..Attenuation::default()
    })
}

proptest! {
    /// allow(child) is within allow(parent), along any chain.
    #[test]
    fn no_chain_allows_more_than_its_parent(
        scopes in prop::collection::vec(any_scope(), 0..3),
        steps in prop::collection::vec(any_attenuation(), 1..6),
    ) {
        let mut token = mint(&Claims { scopes, ..claims() }, &issuer(), [1; 32], &BOUNDS).unwrap();
        for (i, less) in steps.iter().enumerate() {
            let parent = token.claims_unverified().unwrap();
            let Ok(narrowed) = token.narrow(less, [i as u8 + 10; 32]) else { continue };
            let child = narrowed.claims_unverified().unwrap();
            prop_assert!(child.expires_ms <= parent.expires_ms);
            prop_assert!(child.budget.ops.unwrap_or(u64::MAX) <= parent.budget.ops.unwrap_or(u64::MAX));
            prop_assert!(child.role == parent.role || child.role == Role::Observer);
            for path in ["/", "/a", "/a/b", "/a/b/c", "/a/b/c/d", "/ab", "/c", "/d"] {
                for verbs in [Verbs::Read, Verbs::Write, Verbs::Both] {
                    let is_within = !child.allows(path, verbs) || parent.allows(path, verbs);
                    prop_assert!(is_within, "{} {:?}", path, verbs);
                }
            }
            token = narrowed;
        }
    }

    #[test]
    fn no_text_harms_the_parser(text in "\\PC{0,300}") {
        prop_assert!(verify(&text).is_err());
        let prefixed = format!("coh1.{text}");
        prop_assert!(verify(&prefixed).is_err());
    }
}
