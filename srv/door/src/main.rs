//! The door's process.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    match ninedoor::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => rt::complain("ninedoor", &error),
    }
}
