//! queenfs: the single authority. Commands come in at the ctl files; what they decide is
//! `lib/authority`'s business, who carries it out is said here.
//! Guarantees: a command is acknowledged when it is in the journal and its effects are there; a refused
//! one has none; after a restart the queen is what the journal says. Keeps nothing on disk herself.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod effects;
mod flow;
mod ledger;
mod mint;
mod owners;
mod queen;
mod repeats;
mod show;
#[cfg(test)]
mod tests;
mod world;

use authority::{EXPORT, LEASE, LIFECYCLE, QUEEN, SCHEDULE};
pub use config::Config;
pub use mint::Minter;
use ninep::srv::{Dir, Tree};
pub use owners::Owners;
pub use queen::Queen;

rt::main!("queen", |boot| Ok(tree(Config::from_boot(boot), Minter::from_boot(boot)?)));

/// The tree:
///
/// ```text
/// ctl                                 workers, tickets, name spaces: one JSON object a line
/// lifecycle/ctl                       cordon drain resume quiesce reset
/// lease/ctl                           grant renew release preempt quota
/// schedule/ctl                        enqueue cancel reprioritise
/// export/{ctl,windows,jobs}           open close job
/// [lifecycle]/{state,reason,since}    ONLINE, why, since when
/// [root]/{reachable,last_seen_ms,cut_reason}
/// [lease]/{summary,active,preemptions}
/// [schedule]/{summary,queue}
/// [proc]/{workers,dedupe}             one line a worker, one an envelope
/// [in]/{events,revoked,ended,workers,exports,boot,hash}  for the hive's servers only
/// ```
pub fn tree(config: Config, minter: Minter) -> Tree<Queen> {
    let max_line = config.ctl_line_bytes;
    let journal = config.journal.clone();
    let ctl = |path| Dir::new().ctl("ctl", 0o600, max_line, path);
    let main = ctl(QUEEN)
        .dir("lifecycle", Dir::new().ctl("ctl", 0o600, max_line, LIFECYCLE))
        .dir("lease", ctl(LEASE))
        .dir("schedule", ctl(SCHEDULE))
        .dir("export", ctl(EXPORT).text("windows", show::windows).text("jobs", show::jobs));
    let inward = Dir::new()
        .orders("events", 0o600, max_line, Queen::event)
        .text("revoked", show::revoked)
        .text("ended", show::ended)
        .text("workers", show::directories)
        .text("exports", show::exports)
        .text("boot", show::boot)
        .text("hash", show::hash);
    Tree::new(Queen::new(config, minter), main)
        .root(
            "lifecycle",
            Dir::new().text("state", show::state).text("reason", show::reason).text("since", show::since),
        )
        .root(
            "root",
            Dir::new()
                .text("reachable", show::reachable)
                .text("last_seen_ms", show::last_seen)
                .text("cut_reason", show::cut_reason),
        )
        .root(
            "lease",
            Dir::new()
                .text("summary", show::lease_summary)
                .text("active", show::leases)
                .text("preemptions", show::preemptions),
        )
        .root("schedule", Dir::new().text("summary", show::schedule_summary).text("queue", show::queue))
        .root("proc", Dir::new().text("workers", show::workers).text("dedupe", show::dedupe))
        .internal("in", inward)
        .journaled(journal)
}
