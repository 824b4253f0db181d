//! The process of trace.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    rt::serve("trace", |boot| Ok(tracefs::tree(tracefs::Config::from_manifest(&boot.manifest))))
}
