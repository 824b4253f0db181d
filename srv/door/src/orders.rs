//! What the queen tells the door: one JSON object a line of `[ctl]/ctl`.

use crate::facts::Order;
use crate::files::{Own, changed, known_servers, set};
use authority::{Cut, Phase, Run};
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Verdict};
use rt::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Command {
    Revoke(Revoke),
    /// Workers that have ended.
    Ended(Ended),
    Budget(Budget),
    Bind(Bind),
    Mount(Mount),
    /// Would that be done?
    Try(Try),
    Phase(String),
    /// Why the queen is cut off; `none`: she is to be reached.
    Cut(String),
    Failed(Failed),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    id: String,
    reason: String,
}

/// Runs of the numbers of workers, whose tickets' ids are of a hive of that name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    hive: String,
    runs: Vec<Run>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    ticket: String,
    ops: u64,
}

/// An attach that another door has refused, for everybody's throttle.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failed {
    peer: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bind {
    session: u32,
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mount {
    session: u32,
    service: String,
    at: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Try {
    Bind(Bind),
    Mount(Mount),
}

impl Bind {
    /// The session's table as it would be.
    fn table(&self, own: &Own) -> Result<ns::Table, Refusal> {
        changed(own, self.session, |table, _| {
            table.bind(&self.from, &self.to, false).map_err(|why| refused(&why))
        })
    }
}

impl Mount {
    fn table(&self, own: &Own) -> Result<ns::Table, Refusal> {
        changed(own, self.session, |table, servers| {
            table.mount(&self.service, &self.at, "", false).map_err(|why| refused(&why))?;
            known_servers(table, servers)
        })
    }
}

/// One order of the queen.
pub(crate) fn order(own: &mut Own, _: &Call, text: &str) -> Verdict {
    let (verb, done) = match json::from_str(text) {
        Err(error) => ("CTL", Err(Refusal::new(Word::Invalid, error.to_string()))),
        Ok(Command::Revoke(Revoke { id, reason })) => {
            own.facts.borrow_mut().orders.push(Order::Revoke { id, reason });
            ("REVOKE", Ok(()))
        }
        Ok(Command::Ended(Ended { hive, runs, reason })) => {
            own.facts.borrow_mut().orders.push(Order::Ended { hive, runs, reason });
            ("ENDED", Ok(()))
        }
        Ok(Command::Budget(Budget { ticket, ops })) => {
            own.facts.borrow_mut().accounts.set_ops(&ticket, ops);
            ("BUDGET", Ok(()))
        }
        Ok(Command::Bind(bind)) => ("BIND", bind.table(own).and_then(|table| set(own, bind.session, table))),
        Ok(Command::Mount(mount)) => {
            ("MOUNT", mount.table(own).and_then(|table| set(own, mount.session, table)))
        }
        Ok(Command::Try(Try::Bind(bind))) => ("BIND", bind.table(own).map(drop)),
        Ok(Command::Try(Try::Mount(mount))) => ("MOUNT", mount.table(own).map(drop)),
        Ok(Command::Failed(Failed { peer })) => {
            own.facts.borrow_mut().orders.push(Order::Failed { peer });
            ("FAILED", Ok(()))
        }
        Ok(Command::Cut(word)) => match Cut::named(&word) {
            None if word != "none" => {
                ("CUT", Err(Refusal::new(Word::Invalid, format!("no reason {word:?}"))))
            }
            cut => {
                own.facts.borrow_mut().orders.push(Order::Cut(cut));
                ("CUT", Ok(()))
            }
        },
        Ok(Command::Phase(state)) => match Phase::named(&state) {
            Some(phase) => {
                own.facts.borrow_mut().orders.push(Order::Phase(phase));
                ("PHASE", Ok(()))
            }
            None => ("PHASE", Err(Refusal::new(Word::Invalid, format!("no state {state:?}")))),
        },
    };
    match done {
        Ok(()) => Verdict::Ack(format!("OK {verb}")),
        Err(refusal) => Verdict::Refuse { verb: verb.into(), refusal },
    }
}

/// A line of the queen's list of workers that have ended; None: it is none.
pub(crate) fn ended(own: &Own, line: &str) -> Option<()> {
    let Ok(Command::Ended(Ended { hive, runs, reason })) = json::from_str(line) else { return None };
    own.facts.borrow_mut().orders.push(Order::Ended { hive, runs, reason });
    Some(())
}

fn refused(why: &ns::Refused) -> Refusal {
    Refusal::new(word(why), why.to_string())
}

/// What kind of refusal it is.
pub(crate) fn word(why: &ns::Refused) -> Word {
    match why {
        ns::Refused::Nowhere(_) => Word::NotFound,
        ns::Refused::Full => Word::Quota,
        _ => Word::Invalid,
    }
}
