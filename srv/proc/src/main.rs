//! The facts' process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    rt::serve("proc", |boot| Ok(procfs::tree(&boot.manifest)))
}
