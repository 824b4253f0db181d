//! A list of the hive and the control file that changes it: all that cohlease, cohsched and cohexport do.

use crate::args::HiveArgs;
use crate::fields::{Record, columns};
use crate::object::object;
use crate::run::Out;
use crate::trouble::Trouble;
use serde_json::json;

/// What the words behind a verb are.
#[derive(Debug, Clone, Copy)]
pub enum Words {
    /// Ids, one command for each.
    Ids,
    /// Values of these names, then fields.
    Fields(&'static [&'static str]),
}

/// A list and its control file.
#[derive(Debug, Clone, Copy)]
pub struct Board {
    /// Where commands go.
    pub ctl: &'static str,
    /// What `ls` shows.
    pub list: &'static str,
    /// What can be commanded; `ls` can be besides.
    pub verbs: &'static [(&'static str, Words)],
}

/// What every command of a board takes.
#[derive(Debug, clap::Args)]
pub struct BoardArgs {
    /// One of the verbs, or ls, which shows the list; ls when absent
    #[arg(default_value = "ls", hide_default_value = true)]
    verb: String,
    /// Ids, paths and fields of the command, such as ttl_s=60; a dot nests: spec.mem_mb=4096
    #[arg(value_name = "WORD")]
    words: Vec<String>,
    /// ls: one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hive: HiveArgs,
}

impl Board {
    /// Carries out what was said: a command, or `ls`.
    pub fn run(&self, args: &BoardArgs, out: &mut Out) -> Result<(), Trouble> {
        if args.verb != "ls" {
            let lines = self.commands(&args.verb, &args.words)?;
            return args.hive.find()?.order(self.ctl, &lines, out);
        }
        if let Some(word) = args.words.first() {
            return Err(Trouble::Usage(format!("{word}: ls has no such word")));
        }
        let text = args.hive.find()?.text(self.list)?;
        let records: Vec<Record> = text.lines().filter(|line| !line.is_empty()).map(Record::parse).collect();
        if args.json {
            return records.iter().try_for_each(|record| out.json(&record.json(&["id"])));
        }
        columns("id", &records).into_iter().try_for_each(|line| out.line(line))
    }

    /// The lines for the control file: one, or one for each id.
    pub fn commands(&self, verb: &str, words: &[String]) -> Result<Vec<String>, Trouble> {
        match self.verbs.iter().find(|(name, _)| *name == verb) {
            Some((_, Words::Ids)) if words.is_empty() => Err(Trouble::Usage(format!("{verb}: of what?"))),
            Some((_, Words::Ids)) => Ok(words.iter().map(|id| json!({verb: id}).to_string()).collect()),
            Some((_, Words::Fields(names))) => Ok(vec![json!({verb: object(names, words)?}).to_string()]),
            None => {
                let names: Vec<&str> = self.verbs.iter().map(|(name, _)| *name).collect();
                Err(Trouble::Usage(format!("{verb}: no such verb; {}, ls are", names.join(", "))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASES: Board = Board {
        ctl: "/c",
        list: "/l",
        verbs: &[("grant", Words::Fields(&["resource", "subject"])), ("release", Words::Ids)],
    };

    fn made(line: &str) -> Result<Vec<String>, Trouble> {
        let mut words = line.split(' ').map(str::to_owned);
        let verb = words.next().unwrap_or_default();
        LEASES.commands(&verb, &words.collect::<Vec<_>>())
    }

    #[test]
    fn words_become_one_command_and_ids_one_each() {
        let grant = r#"{"grant":{"resource":"GPU-0","subject":"worker-3","ttl_s":60}}"#;
        assert_eq!(made("grant GPU-0 worker-3 ttl_s=60").unwrap(), [grant]);
        let both = [r#"{"release":"lease-4"}"#, r#"{"release":"lease-5"}"#];
        assert_eq!(made("release lease-4 lease-5").unwrap(), both);
    }

    #[test]
    fn what_is_none_is_a_usage_error() {
        for line in ["release", "grant GPU-0", "grant a b c", "lend x"] {
            assert_eq!(made(line).unwrap_err().status(), 2, "{line}");
        }
        assert_eq!(made("lend x").unwrap_err().to_string(), "lend: no such verb; grant, release, ls are");
    }
}
