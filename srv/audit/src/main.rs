//! The journal's process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    auditfs::main()
}
