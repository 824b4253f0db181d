//! The hive at a door: a session of the command's own.

use crate::args::HiveArgs;
use crate::hive::{Access, Entry, Stat};
use crate::line::{Frame, Line, ROOT, WINDOW};
use crate::mount::is_a_directory;
use crate::trouble::{Errstr, Trouble};
use ninep::refusal::Word;
use ninep::wire::{Dirent, Names, QTDIR, Qid, Rmsg, Tmsg};
use std::time::{Duration, Instant};
use std::{env, fs};

/// `P9_GETATTR_BASIC` of 9P2000.L.
const BASIC: u64 = 0x7ff;
/// Bytes that a Treaddir asks for: msize less 11.
const READDIR_MAX: u32 = 8192 - 11;
/// O_DIRECTORY of fcntl.h.
const DIRECTORY: u32 = 0o200_000;

pub(crate) struct Door {
    line: Line,
    role: String,
    next_fid: u32,
}

/// An open file's fid.
pub(crate) struct Fid {
    number: u32,
    /// A refusal that came behind data, to be told when that has been used.
    late: Option<u32>,
}

impl Door {
    pub(crate) fn dial(addr: &str, args: &HiveArgs) -> Result<Self, Trouble> {
        let ticket = ticket(args)?.unwrap_or_default();
        let grant = match ticket.as_str() {
            "" => None,
            text => {
                let read = ticket::Token::parse(text).and_then(|token| token.claims_unverified());
                Some(read.map_err(|e| Trouble::failed(format!("the ticket cannot be read: {e}")))?)
            }
        };
        let role = match (&args.role, &grant) {
            (Some(role), _) => role.clone(),
            (None, Some(grant)) => grant.role.as_str().to_owned(),
            (None, None) => "queen".to_owned(),
        };
        let subject = args.subject.clone().or(grant.map(|grant| grant.subject)).unwrap_or_default();
        let uname = if subject.is_empty() { role.clone() } else { format!("{role}:{subject}") };
        Ok(Door { line: Line::dial(addr, &uname, &ticket)?, role, next_fid: ROOT + 1 })
    }

    pub(crate) fn place(&self) -> &str {
        self.line.addr()
    }

    /// Clunked numbers do not come back.
    fn new_fid(&mut self) -> u32 {
        let fid = self.next_fid;
        self.next_fid += 1;
        fid
    }

    /// Makes a refusal of an errno, with what the session's errstr says.
    fn refused(&mut self, path: &str, errno: u32) -> Trouble {
        let Some(word) = Word::from_errno(errno) else {
            return Trouble::failed(format!("{path}: errno {errno}"));
        };
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
        let fid = self.new_fid();
        let names = ["proc", "9p", "self", "errstr"];
        let asked = self.line.batch(&[
            Tmsg::Walk { fid: ROOT, newfid: fid, names: Names::from(&names[..]) },
            Tmsg::Lopen { fid, flags: 0 },
            Tmsg::Read { fid, offset: 0, count: 4096 },
            Tmsg::Clunk { fid },
        ]);
        match asked.ok()?.get(2)?.reply() {
            Ok(Rmsg::Read { data }) => String::from_utf8(data.to_vec()).ok(),
            _ => None,
        }
    }

    fn broken(path: &str) -> Trouble {
        Trouble::failed(format!("{path}: the door answered another question"))
    }

    /// Walks to a path with a new fid.
    fn walk(&mut self, path: &str) -> Result<(u32, Qid), Trouble> {
        let newfid = self.new_fid();
        let names = names(path);
        let walk = Tmsg::Walk { fid: ROOT, newfid, names: Names::from(&names[..]) };
        match self.line.call(&walk)?.reply() {
            Ok(Rmsg::Walk { qids }) if qids.len() == names.len() => {
                Ok((newfid, qids.iter().last().unwrap_or(self.line.root())))
            }
            // A walk that stopped on the way made no fid.
            Ok(Rmsg::Walk { .. }) => Err(Trouble::refused(path, Word::NotFound, self.detail(Word::NotFound))),
            Ok(_) => Err(Self::broken(path)),
            Err(errno) => Err(self.refused(path, errno)),
        }
    }

    pub(crate) fn stat(&mut self, path: &str) -> Result<Stat, Trouble> {
        let (fid, _) = self.walk(path)?;
        let got = self.size_and_mode(path, fid);
        self.clunk(fid);
        got
    }

    fn size_and_mode(&mut self, path: &str, fid: u32) -> Result<Stat, Trouble> {
        let frame = self.line.call(&Tmsg::Getattr { fid, mask: BASIC })?;
        stat_of(&frame).unwrap_or_else(|errno| Err(self.refused(path, errno)))
    }

    /// Stats many paths, a window at a time.
    pub(crate) fn stat_each(&mut self, paths: &[String]) -> Result<Vec<Result<Stat, Trouble>>, Trouble> {
        let mut stats = Vec::with_capacity(paths.len());
        for paths in paths.chunks(WINDOW / 3) {
            let split: Vec<(u32, Vec<&str>)> =
                paths.iter().map(|path| (self.new_fid(), names(path))).collect();
            let asked: Vec<Tmsg> = split
                .iter()
                .flat_map(|(fid, names)| {
                    let fid = *fid;
                    let names = Names::from(&names[..]);
                    let getattr = Tmsg::Getattr { fid, mask: BASIC };
                    [Tmsg::Walk { fid: ROOT, newfid: fid, names }, getattr, Tmsg::Clunk { fid }]
                })
                .collect();
            let replies = self.line.batch(&asked)?;
            for ((path, (_, names)), replies) in paths.iter().zip(&split).zip(replies.chunks(3)) {
                let refused = |word: Word| Err(Trouble::refused(path, word, self.detail(word)));
                stats.push(match (replies[0].reply(), stat_of(&replies[1])) {
                    (Ok(Rmsg::Walk { qids }), Ok(stat)) if qids.len() == names.len() => stat,
                    (Ok(Rmsg::Walk { qids }), _) if qids.len() < names.len() => refused(Word::NotFound),
                    (Err(errno), _) | (Ok(_), Err(errno)) => match Word::from_errno(errno) {
                        Some(word) => refused(word),
                        None => Err(Trouble::failed(format!("{path}: errno {errno}"))),
                    },
                    _ => Err(Self::broken(path)),
                });
            }
        }
        Ok(stats)
    }

    pub(crate) fn list(&mut self, path: &str) -> Result<Vec<Entry>, Trouble> {
        let (fid, qid) = self.walk(path)?;
        if qid.kind & QTDIR == 0 {
            self.clunk(fid);
            return Err(crate::mount::not_a_directory(path));
        }
        let listed = self.entries(path, fid);
        self.clunk(fid);
        listed
    }

    fn entries(&mut self, path: &str, fid: u32) -> Result<Vec<Entry>, Trouble> {
        self.lopen(path, fid, DIRECTORY)?;
        let mut entries = Vec::new();
        let mut offset = 0;
        loop {
            let frame = self.line.call(&Tmsg::Readdir { fid, offset, count: READDIR_MAX })?;
            let data = match frame.reply() {
                Ok(Rmsg::Readdir { data }) => data,
                Ok(_) => return Err(Self::broken(path)),
                Err(errno) => return Err(self.refused(path, errno)),
            };
            if data.is_empty() {
                return Ok(entries);
            }
            for entry in Dirent::iter(data) {
                let entry = entry.map_err(|_| Self::broken(path))?;
                offset = entry.offset;
                if entry.name != "." && entry.name != ".." {
                    entries.push(Entry { name: entry.name.into(), is_dir: entry.qid.kind & QTDIR != 0 });
                }
            }
        }
    }

    fn lopen(&mut self, path: &str, fid: u32, flags: u32) -> Result<(), Trouble> {
        match self.line.call(&Tmsg::Lopen { fid, flags })?.reply() {
            Ok(_) => Ok(()),
            Err(errno) => Err(self.refused(path, errno)),
        }
    }

    pub(crate) fn open(&mut self, path: &str, access: Access) -> Result<Fid, Trouble> {
        let (fid, qid) = self.walk(path)?;
        let opened = if qid.kind & QTDIR != 0 {
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
        if let Some(errno) = fid.late.take() {
            return Err(self.refused(path, errno));
        }
        let number = fid.number;
        let at = |i: usize| offset + i as u64 * u64::from(count);
        let reads: Vec<Tmsg> =
            (0..window).map(|i| Tmsg::Read { fid: number, offset: at(i), count }).collect();
        let replies = self.line.batch(&reads)?;
        for frame in &replies {
            match frame.reply() {
                Ok(Rmsg::Read { data }) => {
                    buf.extend_from_slice(data);
                    if data.len() < count as usize {
                        break;
                    }
                }
                Ok(_) => return Err(Self::broken(path)),
                Err(errno) if !buf.is_empty() => {
                    fid.late = Some(errno);
                    break;
                }
                Err(errno) => return Err(self.refused(path, errno)),
            }
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, path: &str, fid: &Fid, data: &[u8]) -> Result<(), Trouble> {
        // All ones: wherever the end is.
        match self.line.call(&Tmsg::Write { fid: fid.number, offset: u64::MAX, data })?.reply() {
            Ok(Rmsg::Write { count }) if count as usize == data.len() => Ok(()),
            Ok(Rmsg::Write { count }) => {
                Err(Trouble::failed(format!("{path}: only {count} of {} bytes were taken", data.len())))
            }
            Ok(_) => Err(Self::broken(path)),
            Err(errno) => Err(self.refused(path, errno)),
        }
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
        let _ = self.line.call(&Tmsg::Clunk { fid });
    }
}

fn names(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !name.is_empty()).collect()
}

fn stat_of(frame: &Frame) -> Result<Result<Stat, Trouble>, u32> {
    match frame.reply()? {
        Rmsg::Getattr { qid, attr, .. } => {
            let size = if qid.kind & QTDIR != 0 { 0 } else { attr.size };
            Ok(Ok(Stat { mode: attr.mode, size, qid_path: qid.path, qid_kind: Some(qid.kind) }))
        }
        _ => Ok(Err(Trouble::failed("the door answered another question"))),
    }
}

/// The ticket: the option's file, the variable's file, the variable.
fn ticket(args: &HiveArgs) -> Result<Option<String>, Trouble> {
    let var = |name: &str| env::var_os(name).filter(|v| !v.is_empty());
    let file = args.ticket.clone().or_else(|| var("COH_TICKET_FILE").map(Into::into));
    if let Some(file) = file {
        let text = fs::read_to_string(&file)
            .map_err(|e| Trouble::failed(format!("{}: the ticket cannot be read: {e}", file.display())))?;
        return Ok(Some(text.trim().to_owned()));
    }
    Ok(var("COH_TICKET").and_then(|text| text.into_string().ok()).map(|text| text.trim().to_owned()))
}
