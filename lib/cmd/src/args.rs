//! How a command is told which hive, and as whom (spec 13.2).

use crate::enter;
use crate::hive::Hive;
use crate::mount::Mount;
use crate::trouble::Trouble;
use clap::Args;
use ninep::dial::{Addr, Credentials, DialError};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The options that every command shares.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Which hive, and as whom")]
pub struct HiveArgs {
    /// A mounted hive [$COH_NS]
    #[arg(long, value_name = "DIR", global = true)]
    pub ns: Option<PathBuf>,
    /// A door: unix!PATH, tcp!HOST!PORT or tls!HOST!PORT [$COH_DOOR; the default hive's]
    #[arg(long, value_name = "ADDR", global = true, conflicts_with = "ns")]
    pub door: Option<String>,
    /// A file that holds the ticket to show at the door [$COH_TICKET_FILE, $COH_TICKET]
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "ns")]
    pub ticket: Option<PathBuf>,
    /// The role to attach as [the ticket's; queen at a local door]
    #[arg(long, global = true, conflicts_with = "ns")]
    pub role: Option<String>,
    /// The subject to attach as [the ticket's]
    #[arg(long, global = true, conflicts_with = "ns")]
    pub subject: Option<String>,
    /// Record the conversation with the door there
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true, conflicts_with = "ns")]
    pub record_trace: Option<PathBuf>,
    /// Have a recorded conversation again, without a hive
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true,
          conflicts_with_all = ["ns", "door", "ticket", "role", "subject", "record_trace"])]
    pub replay_trace: Option<PathBuf>,
}

/// The options of a command that may go on with what is added.
#[derive(Args, Debug, Clone, Copy, Default)]
pub struct FollowArgs {
    /// Go on with what is added
    #[arg(short, long)]
    pub follow: bool,
    /// How often to look, in milliseconds [1000, or what the hive says]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(250..=10_000))]
    pub interval_ms: Option<u64>,
}

impl FollowArgs {
    /// How often to look, if at all: what was asked for, else what the hive asks of its clients.
    pub fn every(&self, hive: &Hive) -> Option<Duration> {
        let every = self.interval_ms.map_or_else(|| hive.policy().tail_poll(), Duration::from_millis);
        self.follow.then_some(every)
    }
}

/// Where a hive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Mount(PathBuf),
    Door(String),
    Default(PathBuf),
}

impl HiveArgs {
    /// Finds the hive and opens a session: an option before its variable, a mount before a door. A trace
    /// that is played stands for all of them.
    pub fn find(&self) -> Result<Hive, Trouble> {
        if let Some(file) = &self.replay_trace {
            return Ok(Hive::at_door(enter::at_recording(file)?));
        }
        match self.place(variable)? {
            Place::Mount(dir) => Hive::on_mount(Mount::new(dir)?),
            Place::Door(addr) => Ok(Hive::at_door(enter::at_door(&addr, self)?)),
            Place::Default(run) => {
                let door = run.join("door");
                if !door.exists() {
                    let run = run.display();
                    return Err(Trouble::failed(format!(
                        "no hive at {run}; start one with: coh up, or name one with --ns or --door"
                    )));
                }
                Ok(Hive::at_door(enter::at_door(&local_door(&run), self)?))
            }
        }
    }

    /// Who wants in: what the options say, else what the ticket says, else a queen.
    pub fn credentials(&self) -> Result<Credentials, Trouble> {
        let ticket = ticket(self.ticket.as_deref())?;
        let grant = match ticket.as_str() {
            "" => None,
            text => {
                let read = ticket::Token::parse(text).and_then(|token| token.claims_unverified());
                Some(read.map_err(|e| Trouble::failed(format!("the ticket cannot be read: {e}")))?)
            }
        };
        let role = match (&self.role, &grant) {
            (Some(role), _) => role.clone(),
            (None, Some(grant)) => grant.role.as_str().to_owned(),
            (None, None) => "queen".to_owned(),
        };
        let subject = self.subject.clone().or(grant.map(|grant| grant.subject)).unwrap_or_default();
        Ok(Credentials { role, subject, ticket, ..Credentials::default() })
    }

    pub(crate) fn place(&self, var: impl Fn(&str) -> Option<OsString>) -> Result<Place, Trouble> {
        if let Some(dir) = &self.ns {
            return Ok(Place::Mount(dir.clone()));
        }
        if let Some(addr) = &self.door {
            return Ok(Place::Door(addr.clone()));
        }
        if let Some(dir) = var("COH_NS") {
            if self.ticket.is_some() || self.role.is_some() || self.subject.is_some() {
                return Err(Trouble::Usage(format!(
                    "--ticket, --role and --subject are for a door; {} (from $COH_NS) is a mount, whose \
                     session is there already: name a door with --door, or unset COH_NS",
                    Path::new(&dir).display()
                )));
            }
            if self.record_trace.is_some() {
                return Err(Trouble::Usage(format!(
                    "--record-trace: {} (from $COH_NS) is a mount, where no 9P is to be heard; name a door \
                     with --door, or unset COH_NS",
                    Path::new(&dir).display()
                )));
            }
            return Ok(Place::Mount(dir.into()));
        }
        if let Some(addr) = var("COH_DOOR") {
            return match addr.into_string() {
                Ok(addr) => Ok(Place::Door(addr)),
                Err(_) => Err(Trouble::Usage("$COH_DOOR is not UTF-8".into())),
            };
        }
        Ok(Place::Default(run_dir_from(var)))
    }
}

/// The address of a door for a program that needs one, and no mount: `door`, else that of the run
/// directory `run`, else `$COH_DOOR`, else that of the default run directory.
pub fn door_address(door: Option<&str>, run: Option<&Path>) -> Result<Addr, Trouble> {
    let text = match (door, run, variable("COH_DOOR")) {
        (Some(door), ..) => door.to_owned(),
        (None, None, Some(door)) => {
            door.into_string().map_err(|_| Trouble::Usage("$COH_DOOR is not UTF-8".into()))?
        }
        (None, Some(run), _) => local_door(run),
        (None, None, None) => local_door(&run_dir()),
    };
    text.parse().map_err(|error: DialError| Trouble::Usage(error.to_string()))
}

fn local_door(run: &Path) -> String {
    format!("unix!{}", run.join("door").display())
}

/// The ticket: of `file`, else of the file `$COH_TICKET_FILE`, else `$COH_TICKET`; empty where there is none.
pub fn ticket(file: Option<&Path>) -> Result<String, Trouble> {
    let file = file.map(Path::to_path_buf).or_else(|| variable("COH_TICKET_FILE").map(PathBuf::from));
    let text = match file {
        Some(file) => fs::read_to_string(&file)
            .map_err(|e| Trouble::failed(format!("{}: the ticket cannot be read: {e}", file.display())))?,
        None => match variable("COH_TICKET").map(OsString::into_string) {
            Some(Ok(text)) => text,
            Some(Err(_)) => return Err(Trouble::Usage("$COH_TICKET is not UTF-8".into())),
            None => String::new(),
        },
    };
    Ok(text.trim().to_owned())
}

/// An environment variable that says something.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The default run directory: `$COH_RUN`, else `$XDG_RUNTIME_DIR/coh`, else `/tmp/coh-<uid>`.
pub fn run_dir() -> PathBuf {
    run_dir_from(variable)
}

/// The default data directory: `$COH_DATA`, else `$XDG_STATE_HOME/coh`, else `~/.local/state/coh`.
pub fn data_dir() -> Option<PathBuf> {
    let dir = |name| variable(name).map(PathBuf::from);
    dir("COH_DATA")
        .or_else(|| dir("XDG_STATE_HOME").map(|dir| dir.join("coh")))
        .or_else(|| dir("HOME").map(|dir| dir.join(".local/state/coh")))
}

fn run_dir_from(var: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let uid = || PathBuf::from(format!("/tmp/coh-{}", rustix::process::getuid().as_raw()));
    var("COH_RUN")
        .map(PathBuf::from)
        .or_else(|| var("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("coh")))
        .unwrap_or_else(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(args: &HiveArgs, vars: &[(&str, &str)]) -> Place {
        args.place(|name| vars.iter().find(|(k, _)| *k == name).map(|(_, v)| v.into())).unwrap()
    }

    #[test]
    fn an_option_comes_before_a_variable_and_a_mount_before_a_door() {
        let vars = [("COH_NS", "/n"), ("COH_DOOR", "unix!/d"), ("COH_RUN", "/run/c")];
        let ns = HiveArgs { ns: Some("/m".into()), ..HiveArgs::default() };
        let door = HiveArgs { door: Some("tcp!h!1".into()), ..HiveArgs::default() };
        assert_eq!(place(&ns, &vars), Place::Mount("/m".into()));
        assert_eq!(place(&door, &vars), Place::Door("tcp!h!1".into()));
        let none = HiveArgs::default();
        assert_eq!(place(&none, &vars), Place::Mount("/n".into()));
        assert_eq!(place(&none, &vars[1..]), Place::Door("unix!/d".into()));
        assert_eq!(place(&none, &vars[2..]), Place::Default("/run/c".into()));
        assert_eq!(place(&none, &[("XDG_RUNTIME_DIR", "/run/u")]), Place::Default("/run/u/coh".into()));
        assert!(matches!(place(&none, &[]), Place::Default(dir) if dir.starts_with("/tmp")));
    }

    #[test]
    fn a_role_for_a_mount_is_a_usage_error() {
        let args = HiveArgs { role: Some("observer".into()), ..HiveArgs::default() };
        let found = args.place(|name| (name == "COH_NS").then(|| "/n".into()));
        assert_eq!(found.unwrap_err().status(), 2);
    }
}
