//! Which hive, how, and as whom.

use crate::record::{self, Recording};
use crate::{Sink, Talk, TalkError};
use clap::Args;
use cohcmd::{HiveArgs, Policy, Trouble, door_address, fingerprint};
use ninep::dial::{Addr, Conn, Credentials, DialError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// The options of a command that converses.
#[derive(Args, Debug, Clone, Default)]
pub struct PlaceArgs {
    /// A console in place of a door: unix!PATH, tcp!HOST!PORT or serial!DEVICE
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["door", "ns", "record_trace", "replay_trace"])]
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
    Serial(PathBuf),
    Trace(PathBuf),
}

/// Where to dial, as often as it is needed.
pub struct Place {
    way: Way,
    who: Credentials,
    policy: Policy,
    record: Option<PathBuf>,
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
        let record = hive.record_trace.clone();
        if let Some(file) = &hive.replay_trace {
            let (way, who) = (Way::Trace(file.clone()), Credentials::default());
            return Ok(Place { way, who, policy: Policy::default(), record });
        }
        let who = hive.credentials()?;
        let (way, policy) = match console.as_deref().map(|text| (text, text.strip_prefix("serial!"))) {
            None => {
                let addr = door_address(hive.door.as_deref(), None)?;
                let policy = Policy::at(&addr)?;
                (Way::Door(addr), policy)
            }
            Some((text, Some(device))) => {
                if device.is_empty() || token.is_some() {
                    let why = if device.is_empty() { "no device" } else { "a serial line asks for no token" };
                    return Err(Trouble::Usage(format!("{text}: {why}")));
                }
                (Way::Serial(device.into()), Policy::default())
            }
            Some((text, None)) => {
                let addr: Addr = text.parse().map_err(|e: DialError| Trouble::Usage(e.to_string()))?;
                if matches!(addr, Addr::Tls { .. }) {
                    return Err(Trouble::Usage(format!(
                        "{text}: a console is at unix!PATH, tcp!HOST!PORT or serial!DEVICE"
                    )));
                }
                let policy = Policy::at(&addr)?;
                (Way::Console { addr, token: token.as_deref().map(secret).transpose()? }, policy)
            }
        };
        Ok(Place { way, who, policy, record })
    }

    /// What the hive asks of its clients.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Begins a conversation, recorded where that was asked for; what the attach is answered is handed over.
    pub fn begin(&self, each: Sink) -> Result<(Talk, Option<Recording>), Trouble> {
        let failed = |error: TalkError| Trouble::failed(error.to_string());
        match (&self.way, &self.record) {
            (Way::Door(addr), Some(path)) => {
                let bytes_max = usize::try_from(self.policy.client.trace_max_bytes).unwrap_or(usize::MAX);
                let mut recording = Recording::new(path)?;
                let talk = Talk::door_recorded(addr, self.who.clone(), bytes_max, each).map_err(failed)?;
                let version = self.version(addr);
                self.policy.check(&addr.to_string(), &version)?;
                recording.manifest = fingerprint(&version).unwrap_or_default().to_owned();
                Ok((talk, Some(recording)))
            }
            (Way::Trace(path), _) => {
                let at = |error| Trouble::failed(format!("{}: {error}", path.display()));
                Ok((Talk::recording(&record::read(path)?, each).map_err(at)?, None))
            }
            _ => Ok((self.dial(each).map_err(failed)?, None)),
        }
    }

    /// Begins a conversation that is not recorded, with a hive.
    pub fn dial(&self, each: Sink) -> Result<Talk, TalkError> {
        let silence = Duration::from_secs(self.policy.client.heartbeat_s.into());
        let check = |place: &Addr, version: &str| {
            self.policy.check(&place.to_string(), version).map_err(|e| TalkError::Policy(e.to_string()))
        };
        match &self.way {
            Way::Door(addr) => {
                let talk = Talk::door(addr, self.who.clone(), each)?;
                if self.policy.is_of_a_hive() {
                    check(addr, &self.version(addr))?;
                }
                Ok(talk)
            }
            Way::Console { addr, token } => {
                let token = token.as_ref().map(|token| token.trim());
                let mut talk = Talk::console(addr, token, &self.who, silence, each)?;
                if self.policy.is_of_a_hive() {
                    let mut version = String::new();
                    talk.send("cat /proc/version", &mut |line| version.push_str(&format!("{line}\n")))?;
                    check(addr, &version)?;
                }
                Ok(talk)
            }
            Way::Serial(device) => Talk::serial(device, &self.who, silence, each),
            Way::Trace(_) => Err(TalkError::Trace("it is played from its beginning".into())),
        }
    }

    /// What the hive at a door says of itself, asked for in a session of its own: it is no part of the
    /// conversation. Empty where that cannot be read.
    fn version(&self, addr: &Addr) -> String {
        let read = || Conn::dial(addr, &self.who)?.read_all("/proc/version");
        String::from_utf8(read().unwrap_or_default()).unwrap_or_default()
    }
}

fn secret(path: &Path) -> Result<Zeroizing<String>, Trouble> {
    cohcmd::secret(path)
        .map_err(|e| Trouble::failed(format!("{}: the token cannot be read: {e}", path.display())))
}
