//! The consoles' process.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    consoled::main()
}
