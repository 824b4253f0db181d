//! The door: every client's session comes in here, and every server's files go out through it.
//! Guarantees: a session sees what its role's name space and its ticket leave it, by no walk, bind or
//! fid anything else; no session's or server's failure is another's. Holds no file data of its own.
#![forbid(unsafe_code)]

mod admit;
mod channel;
mod door;
mod facts;
mod files;
mod io;
mod job;
mod list;
mod orders;
mod records;
mod reply;
mod request;
mod session;
mod stream;
mod walk;

#[cfg(test)]
mod tests;

pub use admit::{Admission, Dial};
pub use door::{Door, Turn};
pub use files::Own;
pub use session::Rules;

/// The whole server: admission from the manifest, the door, its loop.
pub fn run() -> Result<(), rt::BootError> {
    let boot = rt::Boot::from_args("door", std::env::args())?;
    rt::alone()?;
    let signals = rt::Signals::new(&[15, 2]).map_err(|e| rt::BootError(format!("signals: {e}")))?;
    let opened = io::Opened::default();
    let dial = io::dialler(boot.run.join("srv"), std::rc::Rc::clone(&opened));
    let admission = Admission::from_manifest(&boot, dial)?;
    let door = Door::new(&boot.manifest, admission, rt::now());
    io::Loop::new(&boot, door, opened)?.run(signals)
}
