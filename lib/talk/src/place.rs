//! Which hive, how, and as whom.

use crate::{Sink, Talk, TalkError};
use clap::Args;
use cohcmd::{HiveArgs, Trouble, door_address};
use ninep::dial::{Addr, Credentials, DialError};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The options of a command that converses.
#[derive(Args, Debug, Clone, Default)]
pub struct PlaceArgs {
    /// A console in place of a door: unix!PATH or tcp!HOST!PORT
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["door", "ns"])]
    pub console: Option<String>,
    /// A file with what AUTH must say there
    #[arg(long, value_name = "FILE", requires = "console")]
    pub token: Option<PathBuf>,
    /// Which hive, and as whom.
    #[command(flatten)]
    pub hive: HiveArgs,
}

enum Way {
    Door(Addr),
    Console { addr: Addr, token: Option<Zeroizing<String>> },
}

/// Where to dial, as often as it is needed.
pub struct Place {
    way: Way,
    who: Credentials,
}

impl Place {
    /// What the options say.
    pub fn of(args: &PlaceArgs) -> Result<Place, Trouble> {
        let PlaceArgs { console, token, hive } = args;
        if hive.ns.is_some() {
            return Err(Trouble::Usage(
                "--ns: a shell has a session of its own; name a door with --door".into(),
            ));
        }
        let who = hive.credentials()?;
        let way = match console.as_deref() {
            None => Way::Door(door_address(hive.door.as_deref(), None)?),
            Some(text) => {
                let addr: Addr = text.parse().map_err(|e: DialError| Trouble::Usage(e.to_string()))?;
                if matches!(addr, Addr::Tls { .. }) {
                    return Err(Trouble::Usage(format!(
                        "{text}: a console is at unix!PATH or tcp!HOST!PORT"
                    )));
                }
                Way::Console { addr, token: token.as_deref().map(secret).transpose()? }
            }
        };
        Ok(Place { way, who })
    }

    /// Begins a conversation with a door that is recorded in at most `bytes_max` bytes.
    pub fn dial_recorded(&self, bytes_max: usize, each: Sink) -> Result<Talk, TalkError> {
        match &self.way {
            Way::Door(addr) => Talk::door_recorded(addr, self.who.clone(), bytes_max, each),
            Way::Console { .. } => {
                Err(TalkError::Trace("a conversation with a console has no 9P frames to record".into()))
            }
        }
    }

    /// The fingerprint of the hive's manifest, asked for in a session of its own; empty where it cannot be
    /// read.
    pub fn manifest(&self) -> String {
        let mut manifest = String::new();
        let Ok(mut talk) = self.dial(&mut |_| {}) else { return manifest };
        // What cannot be read is not known; that is no failure.
        let _ = talk.send("cat /proc/version", &mut |line| {
            let mut words = line.split(' ').filter_map(|word| word.strip_prefix("manifest="));
            if let Some(word) = words.next() {
                manifest = word.to_owned();
            }
        });
        manifest
    }

    /// Begins a conversation; what the attach is answered is handed over.
    pub fn dial(&self, each: Sink) -> Result<Talk, TalkError> {
        match &self.way {
            Way::Door(addr) => Talk::door(addr, self.who.clone(), each),
            Way::Console { addr, token } => {
                Talk::console(addr, token.as_ref().map(|token| token.trim()), &self.who, each)
            }
        }
    }
}

fn secret(path: &Path) -> Result<Zeroizing<String>, Trouble> {
    cohcmd::secret(path)
        .map_err(|e| Trouble::failed(format!("{}: the token cannot be read: {e}", path.display())))
}
