//! The process of telemetry.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    telemetryfs::main()
}
