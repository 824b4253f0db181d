//! The process of trace.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    tracefs::main()
}
