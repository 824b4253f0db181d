//! The heartbeat worker's process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    worker_heart::main()
}
