//! The hive at a door: a session of the command's own.

use crate::hive::{Access, Entry, Stat};
use crate::mount::is_a_directory;
use crate::trouble::{Errstr, Trouble};
use ninep::dial::{Conn, DialError, Listing, WINDOW};
use ninep::refusal::{Refusal, Word};
use ninep::wire::{Attr, Names, QTDIR, Qid, Rmsg, Tmsg, decode_r};
use std::time::{Duration, Instant};

/// `P9_GETATTR_BASIC` of 9P2000.L.
const BASIC: u64 = 0x7ff;
/// Bytes that a Treaddir asks for: msize less 11.
const READDIR_MAX: u32 = 8192 - 11;
/// O_DIRECTORY of fcntl.h.
const DIRECTORY: u32 = 0o200_000;

/// The fid of the attach.
const ROOT: u32 = 0;

pub(crate) struct Door {
    conn: Conn,
    addr: String,
    role: String,
}

/// A reply, or the word of its refusal; what that means for people is asked for where it is told.
type Answer = Result<Vec<u8>, Refusal>;

/// An open file's fid.
pub(crate) struct Fid {
    number: u32,
    /// A refusal that came behind data, to be told when that has been used.
    late: Option<Refusal>,
}

impl Door {
    pub(crate) fn new(conn: Conn, addr: String, role: String) -> Self {
        Door { conn, addr, role }
    }

    pub(crate) fn place(&self) -> &str {
        &self.addr
    }

    /// One request.
    fn call(&mut self, msg: &Tmsg) -> Result<Answer, Trouble> {
        let mut answers = self.batch(&[*msg])?;
        answers.pop().ok_or_else(|| Self::broken(&self.addr))
    }

    /// Requests in one write, their answers in order.
    fn batch(&mut self, msgs: &[Tmsg]) -> Result<Vec<Answer>, Trouble> {
        self.conn.batch(msgs).map_err(|e| match e {
            DialError::Refused(refusal) => Trouble::refused(&self.addr, refusal.word, refusal.detail),
            other => Trouble::failed(format!("{}: {other}", self.addr)),
        })
    }

    /// Makes trouble of a refusal, with what the session's errstr says about it.
    fn refused(&mut self, path: &str, refusal: Refusal) -> Trouble {
        let Refusal { word, detail } = refusal;
        if !detail.is_empty() {
            return Trouble::refused(path, word, detail);
        }
        let detail = self.errstr().and_then(|text| Errstr::parse(&text)?.detail_for(path, word));
        Trouble::refused(path, word, detail.unwrap_or_else(|| self.detail(word)))
    }

    fn detail(&self, word: Word) -> String {
        match word {
            Word::NotFound => format!("no such file in {}'s name space", self.role),
            _ => String::new(),
        }
    }

    fn errstr(&mut self) -> Option<String> {
        let fid = self.conn.new_fid();
        let names = ["proc", "9p", "self", "errstr"];
        let asked = self.batch(&[
            Tmsg::Walk { fid: ROOT, newfid: fid, names: Names::from(&names[..]) },
            Tmsg::Lopen { fid, flags: 0 },
            Tmsg::Read { fid, offset: 0, count: 4096 },
            Tmsg::Clunk { fid },
        ]);
        match decoded(asked.ok()?.get(2)?) {
            Ok(Rmsg::Read { data }) => String::from_utf8(data.to_vec()).ok(),
            _ => None,
        }
    }

    fn broken(path: &str) -> Trouble {
        Trouble::failed(format!("{path}: the door answered another question"))
    }

    /// Walks to a path with a new fid; says whether it is a directory.
    fn walk(&mut self, path: &str) -> Result<(u32, bool), Trouble> {
        let newfid = self.conn.new_fid();
        let names = names(path);
        let walk = Tmsg::Walk { fid: ROOT, newfid, names: Names::from(&names[..]) };
        let answer = self.call(&walk)?;
        match decoded(&answer) {
            // No name at all is the root.
            Ok(Rmsg::Walk { qids }) if qids.len() == names.len() => {
                Ok((newfid, qids.iter().last().is_none_or(is_dir)))
            }
            // A walk that stopped on the way made no fid.
            Ok(Rmsg::Walk { qids }) if qids.iter().last().is_some_and(|qid| !is_dir(qid)) => {
                Err(crate::mount::not_a_directory(path))
            }
            Ok(Rmsg::Walk { .. }) => Err(self.refused(path, Word::NotFound.into())),
            Ok(_) => Err(Self::broken(path)),
            Err(refusal) => Err(self.refused(path, refusal)),
        }
    }

    pub(crate) fn stat(&mut self, path: &str) -> Result<Stat, Trouble> {
        let (fid, _) = self.walk(path)?;
        let got = self.size_and_mode(path, fid);
        self.clunk(fid);
        got
    }

    fn size_and_mode(&mut self, path: &str, fid: u32) -> Result<Stat, Trouble> {
        let answer = self.call(&Tmsg::Getattr { fid, mask: BASIC })?;
        match decoded(&answer) {
            Ok(Rmsg::Getattr { qid, attr, .. }) => Ok(stat_of(qid, &attr)),
            Ok(_) => Err(Self::broken(path)),
            Err(refusal) => Err(self.refused(path, refusal)),
        }
    }

    /// Stats many paths, several at a time.
    pub(crate) fn stat_each(&mut self, paths: &[String]) -> Result<Vec<Result<Stat, Trouble>>, Trouble> {
        let mut stats = Vec::with_capacity(paths.len());
        for paths in paths.chunks(WINDOW / 3) {
            let split: Vec<(u32, Vec<&str>)> =
                paths.iter().map(|path| (self.conn.new_fid(), names(path))).collect();
            let asked: Vec<Tmsg> = split
                .iter()
                .flat_map(|(fid, names)| {
                    let fid = *fid;
                    let names = Names::from(&names[..]);
                    let getattr = Tmsg::Getattr { fid, mask: BASIC };
                    [Tmsg::Walk { fid: ROOT, newfid: fid, names }, getattr, Tmsg::Clunk { fid }]
                })
                .collect();
            let answers = self.batch(&asked)?;
            for ((path, (_, names)), answers) in paths.iter().zip(&split).zip(answers.chunks(3)) {
                // The errstr is by now about the last of the batch.
                let refused = |r: Refusal| Err(Trouble::refused(path, r.word, self.detail(r.word)));
                stats.push(match (decoded(&answers[0]), decoded(&answers[1])) {
                    (Ok(Rmsg::Walk { qids }), Ok(Rmsg::Getattr { qid, attr, .. }))
                        if qids.len() == names.len() =>
                    {
                        Ok(stat_of(qid, &attr))
                    }
                    (Ok(Rmsg::Walk { qids }), _) if qids.len() < names.len() => {
                        refused(Word::NotFound.into())
                    }
                    (Err(refusal), _) | (_, Err(refusal)) => refused(refusal),
                    _ => Err(Self::broken(path)),
                });
            }
        }
        Ok(stats)
    }

    pub(crate) fn list(&mut self, path: &str) -> Result<Vec<Entry>, Trouble> {
        let (fid, is_dir) = self.walk(path)?;
        if !is_dir {
            self.clunk(fid);
            return Err(crate::mount::not_a_directory(path));
        }
        let listed = self.entries(path, fid);
        self.clunk(fid);
        listed
    }

    fn entries(&mut self, path: &str, fid: u32) -> Result<Vec<Entry>, Trouble> {
        self.lopen(path, fid, DIRECTORY)?;
        let (mut entries, mut listing) = (Vec::new(), Listing::default());
        loop {
            let ask = Tmsg::Readdir { fid, offset: listing.offset(), count: READDIR_MAX };
            let answer = self.call(&ask)?;
            let data = match decoded(&answer) {
                Ok(Rmsg::Readdir { data }) => data,
                Ok(_) => return Err(Self::broken(path)),
                Err(refusal) => return Err(self.refused(path, refusal)),
            };
            let more = listing.take(data).map_err(|e| Trouble::failed(format!("{path}: {e}")))?;
            let Some(more) = more else { return Ok(entries) };
            for entry in more {
                if entry.name != "." && entry.name != ".." {
                    entries.push(Entry { name: entry.name.into(), is_dir: is_dir(entry.qid) });
                }
            }
        }
    }

    fn lopen(&mut self, path: &str, fid: u32, flags: u32) -> Result<(), Trouble> {
        self.call(&Tmsg::Lopen { fid, flags })?.map(drop).map_err(|refusal| self.refused(path, refusal))
    }

    pub(crate) fn open(&mut self, path: &str, access: Access) -> Result<Fid, Trouble> {
        let (fid, is_dir) = self.walk(path)?;
        let opened = if is_dir {
            Err(is_a_directory(path))
        } else {
            // O_RDONLY, O_WRONLY and O_RDWR are 0, 1 and 2 of fcntl.h.
            self.lopen(path, fid, access as u32)
        };
        match opened {
            Ok(()) => Ok(Fid { number: fid, late: None }),
            Err(trouble) => {
                self.clunk(fid);
                Err(trouble)
            }
        }
    }

    /// Reads at `offset`, up to `window` reads at once; ends before the first that gives less than asked.
    pub(crate) fn read(
        &mut self,
        path: &str,
        fid: &mut Fid,
        offset: u64,
        count: u32,
        window: usize,
        buf: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        if let Some(refusal) = fid.late.take() {
            return Err(self.refused(path, refusal));
        }
        let number = fid.number;
        let at = |i: usize| offset + i as u64 * u64::from(count);
        let reads: Vec<Tmsg> =
            (0..window).map(|i| Tmsg::Read { fid: number, offset: at(i), count }).collect();
        for answer in &self.batch(&reads)? {
            match decoded(answer) {
                Ok(Rmsg::Read { data }) => {
                    buf.extend_from_slice(data);
                    if data.len() < count as usize {
                        break;
                    }
                }
                Ok(_) => return Err(Self::broken(path)),
                Err(refusal) if !buf.is_empty() => {
                    fid.late = Some(refusal);
                    break;
                }
                Err(refusal) => return Err(self.refused(path, refusal)),
            }
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, path: &str, fid: &Fid, data: &[u8]) -> Result<(), Trouble> {
        // All ones: wherever the end is.
        let answer = self.call(&Tmsg::Write { fid: fid.number, offset: u64::MAX, data })?;
        match decoded(&answer) {
            Ok(Rmsg::Write { count }) if count as usize == data.len() => Ok(()),
            Ok(Rmsg::Write { count }) => {
                Err(Trouble::failed(format!("{path}: only {count} of {} bytes were taken", data.len())))
            }
            Ok(_) => Err(Self::broken(path)),
            Err(refusal) => Err(self.refused(path, refusal)),
        }
    }

    pub(crate) fn sync(&mut self, path: &str, fid: &Fid) -> Result<(), Trouble> {
        let answer = self.call(&Tmsg::Fsync { fid: fid.number, datasync: 0 })?;
        decoded(&answer).map(drop).map_err(|refusal| self.refused(path, refusal))
    }

    pub(crate) fn size(&mut self, path: &str, fid: &Fid) -> Result<u64, Trouble> {
        Ok(self.size_and_mode(path, fid.number)?.size)
    }

    pub(crate) fn ping(
        &mut self,
        path: &str,
        count: u32,
        each: &mut dyn FnMut(Duration),
    ) -> Result<(), Trouble> {
        let (fid, _) = self.walk(path)?;
        for _ in 0..count {
            let start = Instant::now();
            self.size_and_mode(path, fid)?;
            each(start.elapsed());
        }
        self.clunk(fid);
        Ok(())
    }

    pub(crate) fn close(&mut self, fid: Fid) {
        self.clunk(fid.number);
    }

    fn clunk(&mut self, fid: u32) {
        // A fid that cannot be clunked is gone already, or the session is, which the next call says.
        let _ = self.call(&Tmsg::Clunk { fid });
    }
}

fn names(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !name.is_empty()).collect()
}

fn is_dir(qid: Qid) -> bool {
    qid.kind & QTDIR != 0
}

fn stat_of(qid: Qid, attr: &Attr) -> Stat {
    let size = if is_dir(qid) { 0 } else { attr.size };
    Stat { mode: attr.mode, size, qid_path: qid.path, qid_kind: Some(qid.kind) }
}

fn decoded(answer: &Answer) -> Result<Rmsg<'_>, Refusal> {
    let frame = answer.as_ref().map_err(Clone::clone)?;
    decode_r(frame).map(|(_, reply)| reply).map_err(|_| Refusal::new(Word::Invalid, "the reply is malformed"))
}
