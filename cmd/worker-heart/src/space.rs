//! The worker's files, through the door.

use crate::heart::{Fault, Space};
use crate::record::{ROLE, last, record};
use crate::{Config, FrameSchema};
use ninep::clnt::Asked;
use ninep::dial::{Addr, Conn, Credentials, DialError};
use ninep::refusal::{Refusal, Word};

const O_RDWR: u32 = 2;
/// Append wherever the end is (spec 1.1).
const END: u64 = u64::MAX;

/// A session, when there is one, and the open telemetry file in it.
pub(crate) struct Files {
    addr: Addr,
    who: Credentials,
    frame_schema: FrameSchema,
    conn: Option<Conn>,
    telemetry: Option<(String, u32)>,
    /// The record that waits for its answer, and its bytes.
    sent: Option<(Asked, usize)>,
}

impl Files {
    pub(crate) fn new(config: &Config) -> Result<Files, DialError> {
        let who = Credentials {
            role: ROLE.into(),
            subject: config.subject.clone(),
            ticket: config.ticket.clone(),
            ..Credentials::default()
        };
        Ok(Files {
            addr: config.door.parse()?,
            who,
            frame_schema: config.frame_schema,
            conn: None,
            telemetry: None,
            sent: None,
        })
    }

    /// Does it with the session; one that is lost is not used again.
    fn with<T>(&mut self, ask: impl FnOnce(&mut Conn) -> Result<T, DialError>) -> Result<T, DialError> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            None => self.conn.insert(Conn::dial(&self.addr, &self.who)?),
        };
        let outcome = ask(conn);
        if outcome.as_ref().is_err_and(DialError::is_lost) {
            self.conn = None;
            self.telemetry = None;
        }
        outcome
    }
}

/// `/worker/self`, or where a hive without that alias has it: below the one shard that this session sees.
fn open(conn: &mut Conn, subject: &str) -> Result<(String, u32), DialError> {
    let path = "/worker/self/telemetry".to_owned();
    match conn.open_path(&path, O_RDWR) {
        Err(error) if error.word() == Some(Word::NotFound) => {
            let shards = conn.list("/shard")?;
            let Some(shard) = shards.first() else { return Err(error) };
            let path = format!("/shard/{}/worker/{subject}/telemetry", shard.name);
            Ok((path.clone(), conn.open_path(&path, O_RDWR)?))
        }
        outcome => Ok((path, outcome?)),
    }
}

impl Space for Files {
    fn open(&mut self) -> Result<(), Fault> {
        let (subject, old) = (self.who.subject.clone(), self.telemetry.take());
        let telemetry = self.with(|conn| {
            if let Some((_, fid)) = old {
                // It may be Closed already: its server has died.
                let _ = conn.clunk(fid);
            }
            open(conn, &subject)
        })?;
        self.telemetry = Some(telemetry);
        Ok(())
    }

    fn last(&mut self) -> Result<u64, Fault> {
        let path = self.telemetry.as_ref().map(|(path, _)| path.clone()).unwrap_or_default();
        let records = self.with(|conn| conn.read_all(&path))?;
        Ok(last(&records, self.frame_schema))
    }

    fn send(&mut self, n: u64) -> Result<(), Fault> {
        let Some((_, fid)) = self.telemetry else {
            return Err(DialError::Refused(Refusal::from(Word::Closed)).into());
        };
        let record = record(&self.who.subject, self.frame_schema, n);
        let asked = self.with(|conn| conn.begin_write(fid, END, &record))?;
        self.sent = Some((asked, record.len()));
        Ok(())
    }

    fn taken(&mut self) -> Result<(), Fault> {
        let Some((asked, bytes)) = self.sent.take() else {
            return Err(DialError::Refused(Refusal::from(Word::Closed)).into());
        };
        let taken = self.with(|conn| conn.written(asked))?;
        if taken as usize == bytes {
            Ok(())
        } else {
            Err(DialError::Protocol(format!("{taken} of {bytes} bytes were taken")).into())
        }
    }
}
