//! Shell completion, from the definitions that parse the arguments: `cohcat --completion bash`.
//! `coh completion SHELL` asks every program for its own.

use clap::Parser;
use clap_complete::Shell;
use std::ffi::OsString;
use std::process::ExitCode;

/// The one word that asks for it. It is for programs, and in nobody's help.
pub const COMPLETION: &str = "--completion";

/// Answers a program's arguments where they ask for a completion alone; else there is nothing to do.
pub(crate) fn answer<A: Parser>(mut words: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if words.next().is_none_or(|word| word != COMPLETION) {
        return None;
    }
    let shell = words.next().and_then(|word| word.to_str()?.parse::<Shell>().ok());
    match (shell, words.next()) {
        (Some(shell), None) => {
            let mut command = A::command();
            let name = command.get_name().to_owned();
            clap_complete::generate(shell, &mut command, name, &mut std::io::stdout());
            Some(ExitCode::SUCCESS)
        }
        // It is told off as any other usage error.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    #[command(name = "cohx")]
    struct Args {
        #[command(flatten)]
        _hive: crate::HiveArgs,
    }

    #[test]
    fn only_the_word_and_a_shell_ask_for_it() {
        let asks = |words: &[&str]| answer::<Args>(words.iter().map(OsString::from)).is_some();
        assert!(asks(&[COMPLETION, "bash"]) && asks(&[COMPLETION, "fish"]));
        assert!(!asks(&[]) && !asks(&[COMPLETION]) && !asks(&[COMPLETION, "sh"]) && !asks(&["bash"]));
        assert!(!asks(&[COMPLETION, "bash", "x"]));
    }
}
