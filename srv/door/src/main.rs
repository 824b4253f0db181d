//! The door's process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    ninedoor::main()
}
