//! The facts' process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    procfs::main()
}
