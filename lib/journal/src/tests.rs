//! Whole journals against whole tampering: every way is found, and told apart.

use crate::{AuditKey, Entry, Fault, Hash, Head, Kind, PublicKeys, Record, Summary, Verifier};
use proptest::prelude::*;
use serde_json::value::RawValue;
use std::sync::LazyLock;

const SECRET: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const EVERY: u64 = 64;
const TIME_MS: u64 = 1_795_000_000_000;

fn key() -> AuditKey {
    AuditKey::from_hex(SECRET).unwrap()
}

static KEYS: LazyLock<PublicKeys> = LazyLock::new(|| {
    let mut keys = PublicKeys::default();
    keys.add(&key().public_hex()).unwrap();
    keys
});

/// A journal of `n` records, a checkpoint every 64th.
fn journal(n: u64) -> Vec<Vec<u8>> {
    let (key, mut head) = (key(), Head::START);
    (1..=n)
        .map(|seq| {
            let mut line = Vec::new();
            if seq % EVERY == 0 {
                head.push_checkpoint(&key, TIME_MS + seq, &mut line);
            } else {
                let cmd = RawValue::from_string(format!(r#"{{"spawn":"heartbeat","ticks":{seq}}}"#)).unwrap();
                let entry = Entry {
                    ts_ms: TIME_MS + seq,
                    kind: Kind::Ctl,
                    role: "queen".into(),
                    subject: "".into(),
                    ticket: "00112233445566778899aabbccddeeff".into(),
                    session: 7,
                    path: "/queen/ctl".into(),
                    cmd: &cmd,
                    ack: format!("OK SPAWN id=worker-{seq}").into(),
                };
                head.push(&entry, &mut line).unwrap();
            }
            line.pop();
            line
        })
        .collect()
}

static THOUSAND: LazyLock<(Vec<Vec<u8>>, Head)> = LazyLock::new(|| {
    let lines = journal(1000);
    let hash = Hash::of(&lines[999]);
    (lines, Head { next: 1001, hash })
});

fn text(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
}

fn verify(bytes: &[u8], head: Option<&Head>) -> Result<Summary, Fault> {
    let mut verifier = Verifier::new(&KEYS, Some(Head::START));
    verifier.feed(bytes)?;
    verifier.finish(head).map_err(|(fault, _)| fault)
}

#[test]
fn a_whole_journal_is_whole_in_any_pieces() {
    let (lines, head) = &*THOUSAND;
    let bytes = text(lines);
    let summary = verify(&bytes, Some(head)).unwrap();
    assert_eq!((summary.first, summary.records, summary.checkpoints), (1, 1000, 15));
    assert_eq!((summary.signed, summary.head), (959, *head));
    for size in [1, 7, 300, 8192] {
        let mut verifier = Verifier::new(&KEYS, Some(Head::START));
        bytes.chunks(size).for_each(|piece| verifier.feed(piece).unwrap());
        assert_eq!(verifier.finish(Some(head)), Ok(summary));
    }
}

/// In debug builds each line has some flips, at positions that move; all of them are for release.
#[test]
fn every_flip_of_a_byte_is_found_and_its_record_named() {
    let (lines, head) = &*THOUSAND;
    let step = if cfg!(debug_assertions) { 23 } else { 1 };
    let mut prev = Hash::ZERO;
    for (i, line) in lines.iter().enumerate() {
        let seq = i as u64 + 1;
        // The chain before the line is whole: check from there on, two lines beyond.
        let base = Head { next: seq, hash: prev };
        let end = (i + 3).min(lines.len());
        let end_head = Head { next: end as u64 + 1, hash: Hash::of(&lines[end - 1]) };
        let rest = text(&lines[i..end]);
        for at in (i % step..=line.len()).step_by(step) {
            let bit = 1 << ((at + i) % 8);
            let mut bad = rest.clone();
            bad[at] ^= bit;
            let mut verifier = Verifier::new(&KEYS, Some(base));
            let outcome = match verifier.feed(&bad) {
                Ok(()) => verifier.finish(Some(&end_head)).map_err(|(fault, _)| fault),
                Err(fault) => Err(fault),
            };
            let fault = outcome.expect_err("a flip");
            assert_eq!(fault.seq(), seq, "byte {at} of {seq}, bit {bit}: {fault}");
        }
        prev = Hash::of(line);
    }
    assert_eq!(prev, head.hash);
}

#[test]
fn every_cut_of_the_last_record_is_a_torn_tail_and_the_rest_is_whole() {
    let (lines, _) = &*THOUSAND;
    let bytes = text(lines);
    let last = lines[999].len() + 1;
    for left in 1..last {
        let mut verifier = Verifier::new(&KEYS, Some(Head::START));
        verifier.feed(&bytes[..bytes.len() - last + left]).unwrap();
        let (fault, summary) = verifier.finish(None).unwrap_err();
        assert_eq!(fault, Fault::Torn { seq: 1000, bytes: left });
        assert_eq!((summary.records, summary.head.next), (999, 1000));
    }
}

#[test]
fn a_journal_that_was_longer_is_short() {
    let (lines, head) = &*THOUSAND;
    let fault = verify(&text(&lines[..990]), Some(head)).unwrap_err();
    assert_eq!(fault, Fault::Short { seq: 991, last: 1000 });
    assert!(verify(&text(&lines[..990]), None).is_ok(), "without a head nobody knows");
}

/// Who holds an old head finds a journal that was cut to before it, or rewritten since.
#[test]
fn a_head_that_was_kept_elsewhere_must_be_there() {
    let (lines, _) = &*THOUSAND;
    let kept = Head { next: 901, hash: Hash::of(&lines[899]) };
    let check = |known: Head, bytes: &[u8]| {
        let mut verifier = Verifier::new(&KEYS, Some(Head::START)).expect(known);
        verifier.feed(bytes)?;
        verifier.finish(None).map_err(|(fault, _)| fault)
    };
    assert!(check(kept, &text(lines)).is_ok());
    assert!(check(kept, &text(&lines[..900])).is_ok());
    assert_eq!(check(kept, &text(&lines[..899])), Err(Fault::Short { seq: 900, last: 900 }));
    let other = Head { hash: Hash::of(b"other"), ..kept };
    assert_eq!(check(other, &text(lines)), Err(Fault::Rewritten { seq: 900 }));
}

#[test]
fn a_checkpoint_of_another_key_is_unsigned() {
    let (lines, _) = &*THOUSAND;
    let mut other = PublicKeys::default();
    let stranger = AuditKey::from_hex(&SECRET.replace('9', "8")).unwrap();
    other.add(&stranger.public_hex()).unwrap();
    let mut verifier = Verifier::new(&other, Some(Head::START));
    let fault = verifier.feed(&text(lines)).unwrap_err();
    assert_eq!((fault.seq(), fault.word()), (EVERY, "unsigned"));
    let none = PublicKeys::default();
    let mut verifier = Verifier::new(&none, Some(Head::START));
    verifier.feed(&text(lines)).unwrap();
}

/// Whoever rewrites history from a record on, chain and all, lacks the key.
#[test]
fn a_rewritten_history_is_unsigned_at_its_next_checkpoint() {
    let (lines, _) = &*THOUSAND;
    let mut forged = lines[..100].to_vec();
    let mut prev = Hash::of(&forged[99]);
    for line in &lines[100..] {
        let mut record = Record::parse(line).unwrap();
        record.prev = prev;
        let text;
        if record.entry.kind == Kind::Checkpoint {
            let sig = "0".repeat(128);
            let (seq, id) = (record.seq - 1, key().id());
            let cmd = format!(r#"{{"seq":{seq},"sha256":"{prev}","key":"{id}","sig":"{sig}"}}"#);
            text = RawValue::from_string(cmd).unwrap();
            record.entry.cmd = &text;
        } else {
            record.entry.ack = "OK".into();
        }
        let mut line = Vec::new();
        record.encode(&mut line).unwrap();
        prev = Hash::of(&line);
        forged.push(line);
    }
    let fault = verify(&text(&forged), None).unwrap_err();
    assert_eq!((fault.seq(), fault.word()), (128, "unsigned"));
}

#[test]
fn a_window_without_its_beginning_is_taken_from_its_first_record() {
    let (lines, head) = &*THOUSAND;
    let mut verifier = Verifier::new(&KEYS, None);
    verifier.feed(&text(&lines[500..])).unwrap();
    let summary = verifier.finish(Some(head)).unwrap();
    assert_eq!((summary.first, summary.records), (501, 500));
    let fault = verify(&text(&lines[500..]), None).unwrap_err();
    assert_eq!(fault, Fault::Missing { seq: 1, found: 501 });
}

#[test]
fn a_line_without_end_costs_no_memory() {
    let mut verifier = Verifier::new(&KEYS, Some(Head::START));
    for _ in 0..1000 {
        verifier.feed(&[b'x'; 8192]).unwrap();
    }
    assert!(matches!(verifier.finish(None), Err((Fault::Torn { seq: 1, .. }, _))));
}

#[test]
fn of_two_edited_neighbours_the_first_is_named() {
    let (lines, head) = &*THOUSAND;
    let mut lines = lines.clone();
    for line in &mut lines[9..11] {
        *line = String::from_utf8_lossy(line).replace("heartbeat", "Heartbeat").into_bytes();
    }
    assert_eq!(verify(&text(&lines), Some(head)), Err(Fault::Edited { seq: 10 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 16 } else { 256 }))]

    #[test]
    fn a_dropped_record_is_missing(at in 0usize..998) {
        let (lines, head) = &*THOUSAND;
        let mut lines = lines.clone();
        lines.remove(at);
        let seq = at as u64 + 1;
        prop_assert_eq!(verify(&text(&lines), Some(head)), Err(Fault::Missing { seq, found: seq + 1 }));
    }

    #[test]
    fn swapped_records_are_reordered(at in 0usize..999) {
        let (lines, head) = &*THOUSAND;
        let mut lines = lines.clone();
        lines.swap(at, at + 1);
        let seq = at as u64 + 1;
        prop_assert_eq!(verify(&text(&lines), Some(head)), Err(Fault::Reordered { seq, found: seq + 1 }));
    }

    #[test]
    fn a_repeated_record_is_reordered(at in 0usize..1000) {
        let (lines, head) = &*THOUSAND;
        let mut lines = lines.clone();
        lines.insert(at, lines[at].clone());
        let seq = at as u64 + 2;
        prop_assert_eq!(verify(&text(&lines), Some(head)), Err(Fault::Reordered { seq, found: seq - 1 }));
    }

    #[test]
    fn an_edited_record_is_named(at in 0usize..1000, ts_ms in any::<u64>(), ack in "[a-z]{1,9}") {
        let (lines, head) = &*THOUSAND;
        let mut lines = lines.clone();
        let old = lines[at].clone();
        let mut record = Record::parse(&old).unwrap();
        record.entry.ts_ms = ts_ms;
        record.entry.ack = ack.into();
        lines[at].clear();
        record.encode(&mut lines[at]).unwrap();
        prop_assert_eq!(verify(&text(&lines), Some(head)), Err(Fault::Edited { seq: at as u64 + 1 }));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = verify(&bytes, None);
        let _ = Record::parse(&bytes);
        let _ = crate::entries(&String::from_utf8_lossy(&bytes));
    }
}
