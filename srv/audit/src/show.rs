//! What is read.

use crate::audit::Audit;
use journal::Verifier;
use ninep::refusal::{Refusal, Word};
use rt::prelude::*;

/// Bytes of records in one read of `from` at most.
const FROM_MAX: u64 = 1 << 20;

type Shown = Result<(), Refusal>;

pub(crate) fn line(out: &mut String, text: &str) -> Shown {
    out.push_str(text);
    out.push('\n');
    Ok(())
}

fn unread(error: &files::Fault) -> Refusal {
    Refusal::new(Word::Busy, format!("the journal cannot be read: {error}"))
}

/// `journal_base=1 journal_next=119 decisions_base=7 decisions_next=92 head=<sha256> replay=on`
pub(crate) fn export(audit: &Audit, out: &mut String) -> Shown {
    let store = &audit.chain.store;
    let head = store.head();
    let (base, next) = audit.decisions.window(head.next);
    line(
        out,
        &format!(
            "journal_base={} journal_next={} decisions_base={base} decisions_next={next} head={} replay=on",
            store.first(),
            head.next,
            head.hash
        ),
    )
}

/// `ok records=118 head=<sha256>`, or `bad seq=17 fault=edited`.
pub(crate) fn verify(audit: &Audit, out: &mut String) -> Shown {
    match audit.chain.store.verify().map_err(|error| unread(&error))? {
        Ok(summary) => line(out, &format!("ok records={} head={}", summary.records, summary.head.hash)),
        Err(fault) => {
            audit.say_once(format!("audit verify: {fault}"));
            line(out, &fault.to_string())
        }
    }
}

pub(crate) fn head(audit: &Audit, out: &mut String) -> Shown {
    let head = audit.chain.store.head();
    line(out, &format!("next={} sha256={}", head.next, head.hash))
}

/// The newest snapshot.
pub(crate) fn snapshot(audit: &Audit, out: &mut String) -> Shown {
    let state = audit.chain.store.snapshot(u64::MAX).map(|(_, state)| state);
    line(out, &state.unwrap_or_else(|| "{\"seq\":0}".into()))
}

/// The number that a name in `from` is.
pub(crate) fn seq(name: &str) -> Option<u64> {
    let seq: u64 = name.parse().ok()?;
    (seq.to_string() == name).then_some(seq)
}

/// Records from `seq` on. States are folded from them: what does not chain is not served.
pub(crate) fn from(audit: &Audit, seq: u64, out: &mut String) -> Shown {
    let store = &audit.chain.store;
    let (first, next) = (store.first(), store.head().next);
    if seq < first || seq > next {
        let detail = format!("{seq} found; the journal has {first}..{next}");
        return Err(Refusal::new(Word::Invalid, detail));
    }
    // Who keeps small segments has little memory, and so has who asks.
    let most = audit.segment_bytes.min(FROM_MAX);
    let lines = store.from(seq, most as usize).map_err(|error| unread(&error))?;
    let mut verifier = Verifier::new(&audit.keys, None);
    let checked = verifier.feed(&lines).and_then(|()| verifier.finish(None).map_err(|(fault, _)| fault));
    match (checked, String::from_utf8(lines)) {
        (Ok(summary), Ok(text)) if summary.records == 0 || summary.first == seq => {
            out.push_str(&text);
            Ok(())
        }
        (Err(fault), _) => {
            audit.say_once(format!("audit journal is damaged: {fault}"));
            Err(Refusal::new(Word::Busy, format!("the journal is damaged: {fault}")))
        }
        _ => Err(Refusal::new(Word::Busy, "the journal is damaged")),
    }
}
