//! The policy server's process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    rt::serve("policy", |boot| Ok(policyfs::tree(policyfs::Config::from_manifest(&boot.manifest))))
}
