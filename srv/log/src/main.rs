//! The log's process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    rt::serve("log", |boot| Ok(logfs::tree(&boot.manifest.log)))
}
