//! The queen's process.
#![cfg_attr(target_os = "none", no_std, no_main)]
// Without an operating system the entry point's name is exported, which counts as unsafe.
#![cfg_attr(not(target_os = "none"), forbid(unsafe_code))]
#![cfg_attr(target_os = "none", allow(unsafe_code))]

use queenfs::{Config, Minter};

rt::main!("queen", |boot| Ok(queenfs::tree(Config::from_boot(boot), Minter::from_boot(boot)?)));
