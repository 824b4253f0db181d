//! A recorded conversation in a door's place: what the door said is said again, and what is sent to it
//! must be what was sent.

use super::{locked, said};
use crate::trouble::Trouble;
use ninep::dial::{Credentials, Transport};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use trace::file::{Head, Kind, Mask, Record, TRACE_MAX, parse};

/// A recording, and how far it has been played.
pub(crate) struct Player {
    path: PathBuf,
    head: Head,
    records: Vec<Record>,
    /// The record that is next, and how many of its bytes have been used.
    at: (usize, usize),
    /// The first thing that was not as it had been.
    broken: Option<String>,
}

impl Player {
    pub(super) fn read(path: &Path) -> Result<Player, Trouble> {
        let mut file = Vec::new();
        let open = std::fs::File::open(path).map_err(|e| said(path, e))?;
        // One byte more than there may be, and parse refuses it.
        open.take(TRACE_MAX as u64 + 1).read_to_end(&mut file).map_err(|e| said(path, e))?;
        let (head, records) = parse(&file).map_err(|e| said(path, format!("the trace: {e}")))?;
        if records.iter().any(|record| matches!(record.kind, Kind::Line | Kind::Said | Kind::Tick)) {
            return Err(said(path, "a conversation in lines; it is cohsh that plays it"));
        }
        Ok(Player::new(path, head, records))
    }

    fn new(path: &Path, head: Head, records: Vec<Record>) -> Player {
        Player { path: path.to_owned(), head, records, at: (0, 0), broken: None }
    }

    /// Who attached.
    pub(super) fn who(&self) -> Credentials {
        let Head { uname, ticket_len, .. } = &self.head;
        let (role, subject) = uname.split_once(':').unwrap_or((uname, ""));
        let ticket = Mask::stand_in(*ticket_len);
        Credentials { role: role.into(), subject: subject.into(), ticket, ..Credentials::default() }
    }

    /// A connection is made.
    pub(super) fn dialled(&mut self) -> Result<(), String> {
        match self.records.get(self.at.0).map(|record| record.kind) {
            Some(Kind::Dialled) => {
                self.at.0 += 1;
                Ok(())
            }
            Some(_) => Err(self.wrong("there was no new connection here")),
            None => Err(self.wrong("the recording ends here")),
        }
    }

    fn wrong(&mut self, what: &str) -> String {
        let what = match self.records.get(self.at.0) {
            Some(_) => format!("record {}: {what}", self.at.0 + 1),
            None => what.to_owned(),
        };
        self.broken.get_or_insert(what).clone()
    }

    /// What is left of the record that is next, if it is of that kind.
    fn left(&self, kind: Kind) -> Option<&[u8]> {
        let record = self.records.get(self.at.0).filter(|record| record.kind == kind)?;
        record.bytes.get(self.at.1..)
    }

    fn used(&mut self, n: usize) {
        self.at.1 += n;
        if self.records.get(self.at.0).is_some_and(|record| record.bytes.len() == self.at.1) {
            self.at = (self.at.0 + 1, 0);
        }
    }

    fn sent(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let Some(left) = self.left(Kind::Sent) else {
            let is_over = self.at.0 == self.records.len();
            let what = if is_over { "the recording ends here" } else { "nothing was sent here" };
            return Err(self.wrong(what));
        };
        let n = left.len().min(bytes.len());
        if left[..n] != bytes[..n] {
            return Err(self.wrong("the client sends other bytes than were recorded"));
        }
        self.used(n);
        Ok(n)
    }

    fn came(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        let next = self.records.get(self.at.0);
        if next.is_some_and(|record| record.kind == Kind::Dialled) {
            // The connection was lost here, and made again.
            return Ok(0);
        }
        let Some(left) = self.left(Kind::Came) else {
            let is_over = self.at.0 == self.records.len();
            let what = if is_over { "the recording ends here" } else { "nothing had come here" };
            return Err(self.wrong(what));
        };
        let n = left.len().min(buffer.len());
        buffer[..n].copy_from_slice(&left[..n]);
        self.used(n);
        Ok(n)
    }

    /// All of it must have been played, and nothing else.
    pub(super) fn finish(&self) -> Result<(), Trouble> {
        match &self.broken {
            Some(what) => Err(said(&self.path, what)),
            None if self.at.0 < self.records.len() => Err(said(
                &self.path,
                format!("the recording goes on: {} of {} records were played", self.at.0, self.records.len()),
            )),
            None => Ok(()),
        }
    }
}

/// The stream.
pub(super) struct Played(Arc<Mutex<Player>>);

impl Played {
    pub(super) fn new(player: Arc<Mutex<Player>>) -> Played {
        Played(player)
    }
}

impl Read for Played {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        locked(&self.0).came(buffer).map_err(io::Error::other)
    }
}

impl Write for Played {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.0).sent(bytes).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Played {
    fn set_deadline(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player(records: &[(Kind, &[u8])]) -> Player {
        let head = Head { manifest: String::new(), uname: "observer:x".into(), ticket_len: 3 };
        let records =
            records.iter().map(|(kind, bytes)| Record { kind: *kind, ms: 0, bytes: bytes.to_vec() });
        Player::new(Path::new("t"), head, records.collect())
    }

    const TALK: [(Kind, &[u8]); 3] = [(Kind::Dialled, b""), (Kind::Sent, b"ask"), (Kind::Came, b"said")];

    #[test]
    fn the_same_bytes_in_other_pieces_play_to_the_end() {
        let mut player = player(&TALK);
        assert_eq!((player.who().uname(), player.who().ticket), ("observer:x".into(), "xxx".into()));
        player.dialled().unwrap();
        assert_eq!((player.sent(b"as"), player.sent(b"k")), (Ok(2), Ok(1)));
        let mut buffer = [0; 3];
        assert_eq!((player.came(&mut buffer), &buffer), (Ok(3), b"sai"));
        assert!(player.finish().unwrap_err().to_string().contains("2 of 3 records"));
        assert_eq!(player.came(&mut buffer), Ok(1));
        assert_eq!(player.finish(), Ok(()));
    }

    #[test]
    fn other_bytes_are_told_with_their_record_and_not_forgotten() {
        let mut player = player(&TALK);
        assert!(player.sent(b"ask").is_err());
        player.dialled().unwrap();
        assert!(player.sent(b"axe").is_err());
        player.sent(b"ask").unwrap();
        player.came(&mut [0; 9]).unwrap();
        assert_eq!(player.finish().unwrap_err().to_string(), "t: record 1: nothing was sent here");
    }

    #[test]
    fn a_connection_that_was_lost_is_lost_again_and_made_again() {
        let again = [TALK[0], TALK[1], TALK[0], TALK[1], TALK[2]];
        let mut player = player(&again);
        for came in [0, 4] {
            player.dialled().unwrap();
            player.sent(b"ask").unwrap();
            assert_eq!(player.came(&mut [0; 9]), Ok(came));
        }
        assert_eq!(player.finish(), Ok(()));
    }

    #[test]
    fn what_comes_behind_the_end_is_told() {
        let mut player = player(&TALK[..1]);
        player.dialled().unwrap();
        assert_eq!(player.sent(b"x"), Err("the recording ends here".into()));
        assert!(player.dialled().is_err());
    }
}
