//! Which hive, how, and as whom.

use cohcmd::{HiveArgs, Trouble, door_address};
use ninep::dial::{Addr, Credentials, DialError};
use std::path::Path;
use talk::{Talk, TalkError};
use zeroize::Zeroizing;

enum Way {
    Door(Addr),
    Console { addr: Addr, token: Option<Zeroizing<String>> },
}

/// Where to dial, as often as it is needed.
pub(crate) struct Place {
    way: Way,
    who: Credentials,
}

impl Place {
    pub(crate) fn of(hive: &HiveArgs, console: Option<&str>, token: Option<&Path>) -> Result<Place, Trouble> {
        if hive.ns.is_some() {
            return Err(Trouble::Usage(
                "--ns: a shell has a session of its own; name a door with --door".into(),
            ));
        }
        let who = hive.credentials()?;
        let way = match console {
            None => Way::Door(door_address(hive.door.as_deref(), None)?),
            Some(text) => {
                let addr: Addr = text.parse().map_err(|e: DialError| Trouble::Usage(e.to_string()))?;
                if matches!(addr, Addr::Tls { .. }) {
                    return Err(Trouble::Usage(format!(
                        "{text}: a console is at unix!PATH or tcp!HOST!PORT"
                    )));
                }
                Way::Console { addr, token: token.map(secret).transpose()? }
            }
        };
        Ok(Place { way, who })
    }

    pub(crate) fn dial(&self, each: talk::Sink) -> Result<Talk, TalkError> {
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
