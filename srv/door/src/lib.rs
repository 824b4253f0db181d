//! The door: every client's session comes in here, and every server's files go out through it.
//! Guarantees: a session sees what its role's name space and its ticket leave it, by no walk, bind or
//! fid anything else; no session's or server's failure is another's. Holds no file data of its own.
#![forbid(unsafe_code)]

mod admit;
mod channel;
mod door;
mod facts;
mod far;
mod files;
mod hand;
mod io;
mod job;
mod links;
mod list;
mod listeners;
mod orders;
mod relay;
mod reply;
mod request;
mod seat;
mod session;
mod stream;
mod walk;

#[cfg(test)]
mod tests;

pub use admit::{Admission, Dial};
pub use door::{Door, Reach, Turn};
pub use files::Own;
pub use hand::Handover;
pub use seat::{Reserve, Seat};

use links::Links;
pub use session::Rules;
use std::cell::RefCell;
use std::rc::Rc;

/// The whole server: admission from the manifest, the door, its loop.
pub fn run() -> Result<(), rt::BootError> {
    let boot = rt::Boot::from_args("door", std::env::args())?;
    rt::alone()?;
    let signals = rt::Signals::new(&[15, 2]).map_err(|e| rt::BootError(format!("signals: {e}")))?;
    let opened = io::Opened::default();
    let dial = io::dialler(boot.run.join("srv"), Rc::clone(&opened));
    let admission = Admission::from_manifest(&boot, dial)?;
    let count = boot.manifest.server("door").map_or(1, |door| door.count);
    let (next, reserve) = links::numbers(&boot);
    let seat = Seat::new(boot.index, count, next, reserve);
    let mut door = Door::new(&boot.manifest, seat, admission, rt::now());
    let links = Rc::new(RefCell::new(Links::new(&boot.run, count, io::LINK)));
    let reach = Rc::clone(&links);
    door.reach = Some(Box::new(move |door| reach.borrow_mut().reach(door)));
    io::Loop::new(&boot, door, opened, links)?.run(signals)
}
