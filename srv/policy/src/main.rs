//! The policy server's process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    policyfs::main()
}
