//! Snapshots in the background: closed segments folded in slices, so that the oldest may go.

use crate::Store;
use crate::audit::say;
use crate::fold::{Folds, Shadow};
use journal::Record;
use ninep::srv::Request;
use rt::prelude::*;

/// Bytes of records folded in one slice: a few milliseconds.
pub(crate) const SLICE_BYTES: usize = 256 << 10;

/// The fold that follows the closed segments.
#[derive(Default)]
pub(crate) struct Snapshots {
    shadow: Option<Shadow>,
    /// A fold that went wrong goes wrong again: not before the next start.
    has_failed: bool,
}

impl Snapshots {
    /// Is there anything to do?
    pub(crate) fn wants(&self, store: &Store) -> bool {
        !self.has_failed && store.wants_snapshot().is_some()
    }

    /// Does a slice of it.
    pub(crate) fn step(&mut self, store: &mut Store, folds: &Folds, out: &mut Vec<Request>) {
        let Some(target) = store.wants_snapshot().filter(|_| !self.has_failed) else { return };
        if let Err(why) = self.slice(store, target, folds, out) {
            self.has_failed = true;
            self.shadow = None;
            out.push(say(format!("audit no snapshot of seq={target}: {why}; nothing old is dropped")));
        }
    }

    fn slice(
        &mut self,
        store: &mut Store,
        target: u64,
        folds: &Folds,
        out: &mut Vec<Request>,
    ) -> Result<(), String> {
        let shadow = match &mut self.shadow {
            Some(shadow) => shadow,
            none => none.insert(begin(store, target, folds)?),
        };
        fold(shadow, store, target, &mut |_, _| {})?;
        if shadow.next <= target {
            return Ok(());
        }
        let text = shadow.to_json();
        store.keep_snapshot(target, &text).map_err(|error| error.to_string())?;
        let dropped = store.retain().map_err(|error| error.to_string())?;
        if dropped > 0 {
            out.push(say(format!(
                "audit dropped segments={dropped}; the journal begins at seq={}",
                store.first()
            )));
        }
        Ok(())
    }
}

/// The state before records that are retained, at or before `seq`.
pub(crate) fn begin(store: &Store, seq: u64, folds: &Folds) -> Result<Shadow, String> {
    match store.snapshot(seq) {
        Some((_, text)) => Shadow::from_json(folds, &text),
        None if store.first() == 1 => Ok(Shadow::new(folds)),
        None => Err("the first records are gone, and no snapshot stands for them".into()),
    }
}

/// Folds a slice of records up to `last`; `look` sees each with its acknowledgement.
pub(crate) fn fold(
    shadow: &mut Shadow,
    store: &Store,
    last: u64,
    look: &mut dyn FnMut(u64, Option<&str>),
) -> Result<(), String> {
    let lines = store.from(shadow.next, SLICE_BYTES).map_err(|error| error.to_string())?;
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if shadow.next > last {
            break;
        }
        let record = Record::parse(line).map_err(|error| format!("seq={}: {error}", shadow.next))?;
        let ack = shadow
            .take(&record)
            .map_err(|it| format!("seq={} want={:?} got={:?}", it.seq, it.want, it.got))?;
        look(record.seq, ack);
    }
    Ok(())
}
