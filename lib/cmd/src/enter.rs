//! How a command gets in: at a door, or at a recording in its place. What is safe to try again, as a
//! connection that nobody takes or an attach that a saturated door puts off, is tried as the policy says.

use crate::args::HiveArgs;
use crate::policy::Policy;
use crate::trace::Trace;
use crate::trouble::Trouble;
use ninep::dial::{Addr, Conn, Credentials, DEADLINE, DialError, Stream};
use ninep::refusal::{Refusal, Word};
use std::io::ErrorKind;
use std::path::Path;

/// A session of our own.
pub(crate) struct Entered {
    pub(crate) conn: Conn,
    /// The door's address, or the recording's path.
    pub(crate) place: String,
    pub(crate) role: String,
    pub(crate) policy: Policy,
    /// Is the door a recording?
    pub(crate) is_played: bool,
}

/// Enters at a door.
pub(crate) fn at_door(addr: &str, args: &HiveArgs) -> Result<Entered, Trouble> {
    let who = args.credentials()?;
    let at: Addr = addr.parse().map_err(|e: DialError| Trouble::Usage(e.to_string()))?;
    let policy = Policy::at(&at)?;
    match args.record_trace.as_deref() {
        None => enter(addr, Some(&at), &who, policy, None),
        Some(file) => {
            let trace = Trace::record(file, &who, policy.client.trace_max_bytes)?;
            // Elsewhere it is played without this policy: what is tried again must not depend on it.
            enter(addr, Some(&at), &who, policy.with_default_attempts(), Some(trace))
        }
    }
}

/// Enters at a recording.
pub(crate) fn at_recording(file: &Path) -> Result<Entered, Trouble> {
    let (trace, who) = Trace::play(file)?;
    enter(&file.display().to_string(), None, &who, Policy::default(), Some(trace))
}

fn enter(
    place: &str,
    at: Option<&Addr>,
    who: &Credentials,
    policy: Policy,
    trace: Option<Trace>,
) -> Result<Entered, Trouble> {
    let is_played = at.is_none();
    let dial = || {
        let stream = match (&trace, at) {
            (Some(trace), _) => trace.stream(at)?,
            (None, Some(at)) => Stream::dial(at, DEADLINE)?,
            (None, None) => return Err(DialError::Addr("neither a door nor a recording".into())),
        };
        Conn::over(stream, who, None)
    };
    let mut waits = policy.waits();
    let mut conn = loop {
        let dialled = dial();
        match (&dialled, waits.next()) {
            (Err(error), Some(wait)) if may_pass(error) => {
                if !is_played {
                    std::thread::sleep(wait);
                }
            }
            _ => break dialled.map_err(|error| not_entered(place, who, error))?,
        }
    };
    let lost = |e: DialError| Trouble::failed(format!("{place}: {e}"));
    conn.set_deadline(policy.deadline()).map_err(lost)?;
    if trace.is_some() || policy.is_of_a_hive() {
        // A role that does not see the file is not told which manifest the hive runs.
        let version = match conn.read_all("/proc/version") {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.is_lost() => return Err(lost(error)),
            Err(_) => String::new(),
        };
        if let Some(trace) = &trace {
            trace.version(&version);
        }
        policy.check(place, &version)?;
    }
    Ok(Entered { conn, place: place.to_owned(), role: who.role.clone(), policy, is_played })
}

/// May it be otherwise in a moment? A door that is being started again listens soon; one that has died
/// before it let us in is; one that is saturated has room again.
fn may_pass(error: &DialError) -> bool {
    match error {
        DialError::Connect { error, .. } => error.kind() == ErrorKind::ConnectionRefused,
        DialError::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
        ),
        DialError::Refused(refusal) => refusal.word == Word::Busy,
        _ => false,
    }
}

/// Why a door did not let somebody in.
pub fn not_entered(place: &str, who: &Credentials, error: DialError) -> Trouble {
    match error {
        DialError::Refused(Refusal { word: Word::Permission, .. }) => Trouble::refused(
            place,
            Word::Permission,
            match who.ticket.as_str() {
                "" => format!("{} needs a ticket here: give one with --ticket FILE", who.uname()),
                _ => format!("the ticket does not admit {} here; see: cohticket show", who.uname()),
            },
        ),
        DialError::Refused(refusal) => Trouble::refused(place, refusal.word, refusal.detail),
        other => {
            let why = other.to_string();
            let is_named = why.starts_with(place);
            Trouble::failed(if is_named { why } else { format!("{place}: {why}") })
        }
    }
}
