//! `coh completion SHELL`: what the shell completes of every program that lies beside this one. Each
//! program answers for itself, from the definitions that parse its arguments.

use crate::trouble::{Trouble, at};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Prints all of it.
pub(crate) fn print(shell: &str) -> Result<(), Trouble> {
    let program = std::env::current_exe().map_err(at("coh"))?;
    let dir = program.parent().unwrap_or(Path::new("/"));
    let names = std::fs::read_dir(dir).map_err(at(dir))?;
    let mut programs: Vec<_> = names
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("coh") && !name.contains('.'))
        .map(|name| dir.join(name))
        .filter(|path| path.is_file())
        .collect();
    programs.sort();
    let mut out = std::io::stdout().lock();
    for path in programs {
        let mut ask = Command::new(&path);
        ask.args([cohcmd::COMPLETION, shell]).stdin(Stdio::null()).stderr(Stdio::null());
        // What is called so and is none of ours has nothing to say.
        let Ok(said) = ask.output() else { continue };
        if said.status.success() {
            out.write_all(&said.stdout).map_err(at("standard output"))?;
        }
    }
    Ok(())
}
