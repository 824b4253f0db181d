//! The consoles' process.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    match consoled::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => rt::complain("consoled", &error),
    }
}
