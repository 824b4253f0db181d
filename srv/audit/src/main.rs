//! The journal's process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    rt::serve("audit", |boot| Ok(auditfs::tree(auditfs::Audit::open(auditfs::Config::from_boot(boot)?)?)))
}
