//! cohls: list files of the hive, like ls.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{Entry, Hive, HiveArgs, NodeKind, Out, Stat, Trouble, mode_string};
use serde::Serialize;
use std::process::ExitCode;

/// Lists files and directories of the hive
#[derive(Parser)]
#[command(name = "cohls", version)]
struct Args {
    /// Mode, size and name
    #[arg(short)]
    long: bool,
    /// Directories below too
    #[arg(short = 'R')]
    recursive: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// What to list [/]
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    kind: &'static str,
    mode: String,
    size: u64,
}

struct Listing<'o> {
    args: &'o Args,
    out: &'o mut Out,
    /// Whether something was printed that the next directory is set apart from.
    has_printed: bool,
    names_directories: bool,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let mut hive = args.hive.find()?;
        let root = ["/".to_owned()];
        let paths = if args.paths.is_empty() { &root[..] } else { &args.paths };
        let names_directories = args.recursive || paths.len() > 1;
        let mut listing = Listing { args: &args, out, has_printed: false, names_directories };
        let mut directories = Vec::new();
        // As ls has it: files first, then directories.
        for path in paths {
            match hive.stat(path) {
                Ok(stat) if stat.is_dir() => directories.push(path),
                Ok(stat) => listing.file(path, path, &stat)?,
                Err(trouble) => listing.out.complain(trouble)?,
            }
        }
        directories.into_iter().try_for_each(|path| listing.directory(&mut hive, path))
    })
}

impl Listing<'_> {
    fn file(&mut self, path: &str, name: &str, stat: &Stat) -> Result<(), Trouble> {
        self.has_printed = true;
        if self.args.json {
            let mode = format!("{:04o}", stat.mode & 0o7777);
            // A listing tells directories from files; what kind of file, cohstat says.
            let kind = if stat.kind(path) == NodeKind::Dir { "dir" } else { "file" };
            self.out.json(&Line { path, kind, mode, size: stat.size })
        } else if self.args.long {
            self.out.line(format!("{} {:>9} {name}", mode_string(stat.mode), stat.size))
        } else {
            self.out.line(name)
        }
    }

    fn directory(&mut self, hive: &mut Hive, path: &str) -> Result<(), Trouble> {
        if self.names_directories && !self.args.json {
            let gap = if self.has_printed { "\n" } else { "" };
            self.out.line(format!("{gap}{path}:"))?;
            self.has_printed = true;
        }
        let entries = match hive.list(path) {
            Ok(entries) => entries,
            Err(trouble) => return self.out.complain(trouble),
        };
        let below = |entry: &Entry| format!("{}/{}", path.trim_end_matches('/'), entry.name);
        if self.args.long || self.args.json {
            for (entry, stat) in entries.iter().zip(hive.stat_each(path, &entries)?) {
                match stat {
                    Ok(stat) => self.file(&below(entry), &entry.name, &stat)?,
                    Err(trouble) => self.out.complain(trouble)?,
                }
            }
        } else {
            entries.iter().try_for_each(|entry| self.out.line(&entry.name))?;
        }
        if self.args.recursive {
            let directories = entries.iter().filter(|entry| entry.is_dir);
            directories.map(below).try_for_each(|path| self.directory(hive, &path))?;
        }
        Ok(())
    }
}
