//! auditfs: the durable journal, and replay. What a record is and how it is kept is `lib/journal`'s
//! business, what a command means that of `lib/authority` and `lib/policy`.
//! Guarantees: an append is acknowledged when it is on the disk, all of it or nothing; replay and
//! snapshots touch nothing live and hold nobody up. Does not act on what it records.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod audit;
mod config;
mod fold;
mod replay;
mod secrets;
mod show;
mod snapshots;
#[cfg(test)]
mod tests;
mod view;

pub use audit::Audit;
pub use config::Config;
use ninep::srv::{Dir, File, Tree};

rt::main!("audit", |boot| Ok(tree(Audit::open(Config::from_boot(boot)?)?)));

/// The journal, where the machine keeps files.
type Store = journal::Store<rt::Files>;

/// The longest batch: what fits one write.
const APPEND_MAX: usize = 8169;
/// The longest line of `/replay/ctl`.
const REPLAY_MAX: usize = 256;

/// The tree:
///
/// ```text
/// journal             every record that is retained, as it was written
/// decisions           those of kind gate and deny
/// export              where both begin and end
/// verify              reading it verifies the chain
/// key                 the public half of the key that signs checkpoints
/// [replay]/ctl        {"from":0,"to":118}
/// [replay]/status     what came of it
/// [in]/append         for the hive's servers only: records, an array a line
/// [in]/from/<seq>     records from there on
/// [in]/{head,snapshot}
/// ```
pub fn tree(audit: Audit) -> Tree<Audit> {
    let main = Dir::new()
        .append("journal", 0o444, |audit: &mut Audit, _| Ok(&mut audit.chain))
        .append("decisions", 0o444, |audit: &mut Audit, _| Ok(&mut audit.decisions.ring))
        .text("export", |audit: &Audit, _, out| show::export(audit, out))
        .text("verify", |audit: &Audit, _, out| show::verify(audit, out))
        .text("key", |audit: &Audit, _, out| show::line(out, &audit.chain.store.public_hex()));
    let replay = Dir::new()
        .orders("ctl", 0o600, REPLAY_MAX, Audit::replay)
        .text("status", |audit: &Audit, _, out| show::line(out, &audit.replay_status()));
    let records = File::text(|audit: &Audit, call, out| show::from(audit, call.key, out));
    let from = Dir::new().each(|_, _, _| {}, |_, _, name| show::seq(name), records);
    let inward = Dir::new()
        .orders("append", 0o600, APPEND_MAX, Audit::append)
        .dir("from", from)
        .text("head", |audit: &Audit, _, out| show::head(audit, out))
        .text("snapshot", |audit: &Audit, _, out| show::snapshot(audit, out));
    Tree::new(audit, main).root("replay", replay).internal("in", inward)
}
