//! The workers' telemetry's process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    workerfs::main()
}
