//! The workers' telemetry's process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    rt::serve("worker", |boot| Ok(workerfs::tree(workerfs::Config::from_manifest(&boot.manifest.telemetry))))
}
