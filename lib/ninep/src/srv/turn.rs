//! One request that is answered at once, by the tree alone (spec 1.1, 1.3).

use super::open::{Fid, Open};
use super::service::{Now, Service};
use super::tree::{Call, Kind, Token, Tree, Who};
use crate::refusal::{Refusal, Word};
use crate::srv::fids::Fids;
use crate::wire::{self, Attr, NOFID, READ_OVERHEAD, Rmsg, SetAttr, Statfs, Tmsg};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use hashbrown::HashMap;

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
/// `V9FS_MAGIC` of linux/magic.h: what statfs says a 9P file system is.
const V9FS_MAGIC: u32 = 0x0102_1997;
/// `P9_GETATTR_BASIC` of 9P2000.L: every field up to blocks.
const GETATTR_BASIC: u64 = 0x7ff;
/// The bits of Tsetattr's mask: size; and the times that a truncation carries along.
const SETATTR_SIZE: u32 = 0x8;
const SETATTR_TIMES: u32 = 0x10 | 0x20 | 0x40 | 0x80 | 0x100;

/// A request, with all that it may touch.
pub(super) struct Turn<'e, S> {
    pub(super) tree: &'e mut Tree<S>,
    pub(super) fids: &'e mut Fids<Fid>,
    pub(super) acks: &'e HashMap<(u16, u64), String>,
    pub(super) msize: u32,
    pub(super) now: Now,
    pub(super) born_ms: u64,
}

impl<S: Service> Turn<'_, S> {
    /// Answers it in `out`, where it is not refused.
    pub(super) fn answer(&mut self, tag: u16, msg: &Tmsg, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match *msg {
            Tmsg::Attach { fid, afid, uname, aname, n_uname } => {
                let qid = self.attach(fid, afid, uname, aname, n_uname)?;
                Rmsg::Attach { qid }.encode(tag, out);
            }
            Tmsg::Flush { .. } => Rmsg::Flush.encode(tag, out),
            Tmsg::Walk { fid, newfid, ref names } => return self.walk(tag, fid, newfid, names, out),
            Tmsg::Lopen { fid, flags } => {
                let qid = self.open(fid, flags)?;
                Rmsg::Lopen { qid, iounit: self.msize - READ_OVERHEAD }.encode(tag, out);
            }
            Tmsg::Read { fid, offset, count } => return self.read(tag, fid, offset, count, out),
            Tmsg::Readdir { fid, offset, count } => return self.readdir(tag, fid, offset, count, out),
            Tmsg::Write { fid, offset, data } => {
                self.write(fid, offset, data)?;
                Rmsg::Write { count: data.len() as u32 }.encode(tag, out);
            }
            Tmsg::Clunk { fid } => {
                self.fids.remove(fid)?;
                Rmsg::Clunk.encode(tag, out);
            }
            Tmsg::Getattr { fid, .. } => {
                let (qid, attr) = self.getattr(fid)?;
                Rmsg::Getattr { valid: GETATTR_BASIC, qid, attr }.encode(tag, out);
            }
            Tmsg::Setattr { fid, ref attr } => {
                self.setattr(fid, attr)?;
                Rmsg::Setattr.encode(tag, out);
            }
            Tmsg::Statfs { fid } => {
                self.fids.get(fid)?;
                let statfs =
                    Statfs { kind: V9FS_MAGIC, bsize: self.msize, namelen: 255, ..Statfs::default() };
                Rmsg::Statfs { statfs }.encode(tag, out);
            }
            Tmsg::Fsync { fid, .. } => {
                let Fid { at, who, open } = self.fids.get(fid)?;
                if open.is_some() && !matches!(self.tree.file(*at).kind, Kind::Dir { .. }) {
                    let call = Call { key: at.key, who, now: self.now, token: Token::default() };
                    self.tree.state.sync(&call)?;
                }
                Rmsg::Fsync.encode(tag, out);
            }
            Tmsg::Remove { fid } => {
                self.fids.remove(fid)?;
                return Err(Word::Permission.into());
            }
            Tmsg::Lcreate { .. }
            | Tmsg::Mkdir { .. }
            | Tmsg::Symlink { .. }
            | Tmsg::Mknod { .. }
            | Tmsg::Link { .. }
            | Tmsg::Rename { .. }
            | Tmsg::Renameat { .. }
            | Tmsg::Unlinkat { .. } => return Err(Word::Permission.into()),
            _ => return Err(Word::Unsupported.into()),
        }
        Ok(())
    }

    fn attach(
        &mut self,
        fid: u32,
        afid: u32,
        uname: &str,
        aname: &str,
        n_uname: u32,
    ) -> Result<wire::Qid, Refusal> {
        if afid != NOFID {
            return Err(Refusal::new(Word::Invalid, "this channel has no afid"));
        }
        self.fids.check_new(fid)?;
        let who = Who::from_uname(uname, n_uname);
        let at = self.tree.attach(aname, &who)?;
        self.fids.insert(fid, Fid { at, who: Rc::new(who), open: None })?;
        Ok(self.tree.qid(at))
    }

    fn walk(
        &mut self,
        tag: u16,
        fid: u32,
        newfid: u32,
        names: &wire::Names,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let from = self.fids.get(fid)?;
        if from.open.is_some() && newfid == fid {
            return Err(Refusal::new(Word::Invalid, "walk from an open fid"));
        }
        if newfid != fid {
            self.fids.check_new(newfid)?;
        }
        let who = Rc::clone(&from.who);
        let mut at = from.at;
        let mut qids = heapless_qids();
        for name in names.iter() {
            match self.tree.step(at, name) {
                Some(next) => at = next,
                None if qids.is_empty() => return Err(Word::NotFound.into()),
                None => {
                    Rmsg::Walk { qids: wire::Qids::from(&qids[..]) }.encode(tag, out);
                    return Ok(());
                }
            }
            qids.push(self.tree.qid(at));
        }
        if newfid == fid {
            self.fids.get_mut(fid)?.at = at;
        } else {
            self.fids.insert(newfid, Fid { at, who, open: None })?;
        }
        Rmsg::Walk { qids: wire::Qids::from(&qids[..]) }.encode(tag, out);
        Ok(())
    }

    fn open(&mut self, fid: u32, flags: u32) -> Result<wire::Qid, Refusal> {
        let fid = self.fids.get_mut(fid)?;
        if fid.open.is_some() {
            return Err(Refusal::new(Word::Invalid, "the fid is open"));
        }
        fid.open = Some(Open::new(self.tree, fid.at, &fid.who, flags, self.acks, self.now)?);
        Ok(self.tree.qid(fid.at))
    }

    fn read(
        &mut self,
        tag: u16,
        fid: u32,
        offset: u64,
        count: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let count = count.min(self.msize - READ_OVERHEAD) as usize;
        let Fid { at, who, open } = self.fids.get_mut(fid)?;
        let open = open.as_mut().ok_or_else(|| Refusal::new(Word::Invalid, "the fid is not open"))?;
        let start = out.len();
        let frame = Rmsg::begin_read(tag, out);
        let body = out.len();
        out.resize(body + count, 0);
        match open.read(self.tree, *at, who, offset, &mut out[body..], self.now) {
            Ok(n) => {
                out.truncate(body + n);
                Rmsg::end_read(frame, out);
                Ok(())
            }
            Err(refusal) => {
                out.truncate(start);
                Err(refusal)
            }
        }
    }

    fn readdir(
        &mut self,
        tag: u16,
        fid: u32,
        offset: u64,
        count: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let count = count.min(self.msize - READ_OVERHEAD) as usize;
        let Fid { at, open, .. } = self.fids.get_mut(fid)?;
        let open = open.as_mut().ok_or_else(|| Refusal::new(Word::Invalid, "the fid is not open"))?;
        let entries = open.entries(self.tree, *at, offset == 0)?;
        let mut data = Vec::with_capacity(count);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(entries.len());
        for (i, (name, at)) in entries.iter().enumerate().skip(from) {
            let qid = self.tree.qid(*at);
            // DT_DIR and DT_REG of dirent.h.
            let kind = if qid.kind & wire::QTDIR != 0 { 4 } else { 8 };
            let entry = wire::Dirent { qid, offset: i as u64 + 1, kind, name };
            if !entry.push(&mut data, count) {
                break;
            }
        }
        Rmsg::Readdir { data: &data }.encode(tag, out);
        Ok(())
    }

    fn write(&mut self, fid: u32, offset: u64, data: &[u8]) -> Result<(), Refusal> {
        let Fid { at, who, open } = self.fids.get_mut(fid)?;
        let open = open.as_mut().ok_or_else(|| Refusal::new(Word::Invalid, "the fid is not open"))?;
        open.write(self.tree, *at, who, offset, data, self.now)
    }

    fn setattr(&mut self, fid: u32, attr: &SetAttr) -> Result<(), Refusal> {
        let at = self.fids.get(fid)?.at;
        let sets_size_only =
            attr.valid & SETATTR_SIZE != 0 && attr.valid & !(SETATTR_SIZE | SETATTR_TIMES) == 0;
        match self.tree.file(at).kind {
            Kind::Ctl { .. } | Kind::Orders { .. } | Kind::Value { .. }
                if sets_size_only && attr.size == 0 =>
            {
                Ok(())
            }
            _ => Err(Word::Permission.into()),
        }
    }

    fn getattr(&mut self, fid: u32) -> Result<(wire::Qid, Attr), Refusal> {
        let Fid { at, who, open } = self.fids.get(fid)?;
        let size = match open {
            Some(open) => open.size(self.tree, *at, who, self.now)?,
            None => super::open::size(self.tree, *at, who, self.now)?,
        };
        let file = self.tree.file(*at);
        let (kind, nlink) = if matches!(file.kind, Kind::Dir { .. }) { (S_IFDIR, 2) } else { (S_IFREG, 1) };
        let time = (self.born_ms / 1000, (self.born_ms % 1000) * 1_000_000);
        let attr = Attr {
            mode: kind | file.mode,
            nlink,
            size,
            blksize: u64::from(self.msize),
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            ..Attr::default()
        };
        Ok((self.tree.qid(*at), attr))
    }
}

/// Room for the qids of one walk.
fn heapless_qids() -> Vec<wire::Qid> {
    Vec::with_capacity(8)
}
