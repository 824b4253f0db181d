//! The queen's process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    queenfs::main()
}
