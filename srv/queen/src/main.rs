//! The queen's process.
#![forbid(unsafe_code)]

use queenfs::{Config, Minter};

fn main() -> std::process::ExitCode {
    rt::serve("queen", |boot| Ok(queenfs::tree(Config::from_boot(boot), Minter::from_boot(boot)?)))
}
