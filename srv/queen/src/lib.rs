//! queenfs: the single authority. Commands come in at `/queen/ctl`; what they decide is
//! `lib/authority`'s business, who carries it out is said here.
//! Guarantees: a command is acknowledged when its effects are there; a refused one has none. Keeps its
//! memory in the process.
#![forbid(unsafe_code)]

mod flow;
mod mint;
mod queen;
mod show;

pub use mint::Minter;
use ninep::srv::{Dir, Tree};
pub use queen::{Config, Queen};

/// The tree:
///
/// ```text
/// ctl                                 commands, one JSON object a line
/// [lifecycle]/{state,reason,since}    ONLINE, and since when
/// [proc]/workers                      one line a worker
/// [in]/{events,revoked,workers}       for the hive's servers only
/// ```
pub fn tree(config: Config, minter: Minter) -> Tree<Queen> {
    let max_line = config.ctl_line_bytes;
    let lifecycle = Dir::new()
        .text("state", |_, _, out| show::line(out, "state=ONLINE"))
        .text("reason", |_, _, out| show::line(out, "reason=boot"))
        .text("since", |queen: &Queen, _, out| show::line(out, &format!("since_ms={}", queen.since_ms)));
    let inward = Dir::new()
        .orders("events", 0o600, max_line, Queen::event)
        .text("revoked", |queen: &Queen, _, out| show::revoked(queen, out))
        .text("workers", |queen: &Queen, _, out| show::directories(queen, out));
    Tree::new(Queen::new(config, minter), Dir::new().orders("ctl", 0o600, max_line, Queen::command))
        .root("lifecycle", lifecycle)
        .root("proc", Dir::new().text("workers", |queen: &Queen, call, out| show::workers(queen, call, out)))
        .internal("in", inward)
}
