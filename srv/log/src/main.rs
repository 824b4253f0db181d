//! The log's process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    logfs::main()
}
