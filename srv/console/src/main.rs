//! The consoles' process.
#![cfg_attr(target_os = "none", no_std, no_main)]
// Without an operating system the entry point's name is exported, which counts as unsafe.
#![cfg_attr(not(target_os = "none"), forbid(unsafe_code))]
#![cfg_attr(target_os = "none", allow(unsafe_code))]

rt::run!("consoled", consoled::run);
