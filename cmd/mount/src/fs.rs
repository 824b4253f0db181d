//! What the kernel asks, as operations of the hive. Nothing is cached that the hive can change:
//! attributes and names live for no time at all, reads and writes go straight through.

use crate::hive::{Done, EINVAL, EIO, Hive};
use crate::nodes::{Nodes, join};
use crate::pool::Pool;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use ninep::wire::{Attr, SetAttr, Tmsg};
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// For no time at all.
const TTL: Duration = Duration::ZERO;
/// The largest write that is one Twrite of the default msize.
const WRITE_MAX: u32 = 8192 - 23;
/// Bits of Tsetattr's mask: mode 1, uid 2, gid 4, size 8, atime 0x10, mtime 0x20.
const MODE: u32 = 1;
const UID: u32 = 2;
const GID: u32 = 4;
const SIZE: u32 = 8;
const ATIME: u32 = 0x10;
const MTIME: u32 = 0x20;
/// O_APPEND of fcntl.h.
const APPEND: i32 = 0o2000;
/// Append wherever the end is (spec 1.1).
const END: u64 = u64::MAX;

/// The file system.
#[derive(Clone)]
pub(crate) struct Fs {
    hive: Arc<Hive>,
    nodes: Arc<Mutex<Nodes>>,
    pool: Pool,
    uid: u32,
    gid: u32,
}

fn errno(number: i32) -> Errno {
    Errno::from_i32(number)
}

/// A file's qid: type, version and path in hexadecimal; the path is the inode, too.
const QID_ATTRIBUTE: &str = "user.9p.qid";

fn time((s, ns): (u64, u64)) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(s.min(u64::from(u32::MAX))) + Duration::from_nanos(ns.min(999_999_999))
}

impl Fs {
    pub(crate) fn new(hive: Hive) -> Fs {
        Fs {
            hive: Arc::new(hive),
            nodes: Arc::new(Mutex::new(Nodes::new())),
            pool: Pool::default(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    fn nodes<T>(&self, f: impl FnOnce(&mut Nodes) -> T) -> T {
        f(&mut self.nodes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn path(&self, ino: INodeNo) -> Done<String> {
        self.nodes(|nodes| nodes.path(ino.0).map(str::to_owned)).ok_or(EIO)
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> Done<(String, String)> {
        Ok((self.path(parent)?, name.to_str().ok_or(EINVAL)?.to_owned()))
    }

    /// What stat(2) shows; its inode is `ino`. The file belongs to whoever has mounted it: the hive has
    /// roles, not users.
    fn attr(&self, ino: u64, attr: &Attr) -> FileAttr {
        const S_IFMT: u32 = 0o170_000;
        const S_IFDIR: u32 = 0o040_000;
        let kind = if attr.mode & S_IFMT == S_IFDIR { FileType::Directory } else { FileType::RegularFile };
        FileAttr {
            ino: INodeNo(ino),
            size: attr.size,
            blocks: attr.blocks,
            atime: time(attr.atime),
            mtime: time(attr.mtime),
            ctime: time(attr.ctime),
            crtime: time(attr.ctime),
            kind,
            perm: (attr.mode & 0o7777) as u16,
            nlink: attr.nlink as u32,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn refuse_in<'m>(&self, parent: INodeNo, until: Instant, make: impl Fn(u32) -> Tmsg<'m>) -> Errno {
        match self.path(parent) {
            Ok(dir) => errno(self.hive.refused(&dir, until, make)),
            Err(number) => errno(number),
        }
    }
}

impl Filesystem for Fs {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Where the kernel allows less, a record is at most that.
        let _ = config.set_max_write(WRITE_MAX);
        // Else the kernel lets one lookup or listing at a time into a directory, and one that waits for its
        // server holds up all the others. Every kernel since 4.7 has it.
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (fs, name) = (self.clone(), name.to_owned());
        self.pool.run(move |until| {
            let found = fs.child(parent, &name).and_then(|(dir, name)| {
                let path = join(&dir, &name);
                let (_, attr) = fs.hive.getattr(&path, None, until)?;
                Ok(fs.attr(fs.nodes(|nodes| nodes.look_up(&path)), &attr))
            });
            match found {
                Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
                Err(number) => reply.error(errno(number)),
            }
        });
    }

    fn forget(&self, _: &Request, ino: INodeNo, nlookup: u64) {
        self.nodes(|nodes| nodes.forget(ino.0, nlookup));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let fs = self.clone();
        self.pool.run(move |until| {
            let found = fs.path(ino).and_then(|path| fs.hive.getattr(&path, fh.map(|fh| fh.0), until));
            match found {
                Ok((qid, attr)) => reply.attr(&TTL, &fs.attr(qid.path, &attr)),
                Err(number) => reply.error(errno(number)),
            }
        });
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        fh: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let bit = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
        let valid = bit(mode.is_some(), MODE)
            | bit(uid.is_some(), UID)
            | bit(gid.is_some(), GID)
            | bit(size.is_some(), SIZE)
            | bit(atime.is_some(), ATIME)
            | bit(mtime.is_some(), MTIME);
        let attr = SetAttr {
            valid,
            mode: mode.unwrap_or(0),
            uid: uid.unwrap_or(0),
            gid: gid.unwrap_or(0),
            size: size.unwrap_or(0),
            ..SetAttr::default()
        };
        let fs = self.clone();
        self.pool.run(move |until| {
            let handle = fh.map(|fh| fh.0);
            let done = fs.path(ino).and_then(|path| {
                fs.hive.setattr(&path, handle, attr, until)?;
                fs.hive.getattr(&path, handle, until)
            });
            match done {
                Ok((qid, attr)) => reply.attr(&TTL, &fs.attr(qid.path, &attr)),
                Err(number) => reply.error(errno(number)),
            }
        });
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let fs = self.clone();
        self.pool.run(move |until| {
            match fs.path(ino).and_then(|path| fs.hive.open(&path, flags.0 as u32, until)) {
                Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO),
                Err(number) => reply.error(errno(number)),
            }
        });
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let fs = self.clone();
        self.pool.run(move |until| match fs.hive.read(fh.0, offset, size, until) {
            Ok(data) => reply.data(&data),
            Err(number) => reply.error(errno(number)),
        });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        // The kernel's offset is where the file ended when it last asked: others may have written since.
        let offset = if flags.0 & APPEND != 0 { END } else { offset };
        let (fs, data) = (self.clone(), data.to_vec());
        self.pool.run(move |until| match fs.hive.write(fh.0, offset, &data, until) {
            Ok(count) => reply.written(count),
            Err(number) => reply.error(errno(number)),
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let fs = self.clone();
        self.pool.run(move |until| {
            fs.hive.close(fh.0, until);
            reply.ok();
        });
    }

    fn fsync(&self, _: &Request, _: INodeNo, fh: FileHandle, _: bool, reply: ReplyEmpty) {
        let fs = self.clone();
        self.pool.run(move |until| match fs.hive.fsync(fh.0, until) {
            Ok(()) => reply.ok(),
            Err(number) => reply.error(errno(number)),
        });
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let fs = self.clone();
        self.pool.run(move |until| match fs.path(ino).and_then(|path| fs.hive.open(&path, 0, until)) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
            Err(number) => reply.error(errno(number)),
        });
    }

    fn readdir(&self, _: &Request, _: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let fs = self.clone();
        self.pool.run(move |until| {
            let entries = match fs.hive.entries(fh.0, offset == 0, until) {
                Ok(entries) => entries,
                Err(number) => return reply.error(errno(number)),
            };
            for (i, entry) in entries.iter().enumerate().skip(offset as usize) {
                let kind = if entry.is_dir { FileType::Directory } else { FileType::RegularFile };
                if reply.add(INodeNo(entry.qid.path), i as u64 + 1, kind, &entry.name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        let fs = self.clone();
        self.pool.run(move |until| {
            fs.hive.close(fh.0, until);
            reply.ok();
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    // What follows the hive refuses, and counts: it is asked all the same.

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        _: &OsStr,
        mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let fs = self.clone();
        self.pool.run(move |until| {
            let flags = flags as u32;
            reply.error(fs.refuse_in(parent, until, |fid| Tmsg::Lcreate {
                fid,
                name: "new",
                flags,
                mode,
                gid: 0,
            }));
        });
    }

    fn mknod(&self, _: &Request, parent: INodeNo, _: &OsStr, mode: u32, _: u32, _: u32, reply: ReplyEntry) {
        let fs = self.clone();
        self.pool.run(move |until| {
            let make = |dfid| Tmsg::Mknod { dfid, name: "new", mode, major: 0, minor: 0, gid: 0 };
            reply.error(fs.refuse_in(parent, until, make));
        });
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, _: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let fs = self.clone();
        self.pool.run(move |until| {
            reply.error(fs.refuse_in(parent, until, |dfid| Tmsg::Mkdir { dfid, name: "new", mode, gid: 0 }));
        });
    }

    fn symlink(&self, _: &Request, parent: INodeNo, _: &OsStr, _: &std::path::Path, reply: ReplyEntry) {
        let fs = self.clone();
        self.pool.run(move |until| {
            let make = |fid| Tmsg::Symlink { fid, name: "new", target: "x", gid: 0 };
            reply.error(fs.refuse_in(parent, until, make));
        });
    }

    fn link(&self, _: &Request, _: INodeNo, newparent: INodeNo, _: &OsStr, reply: ReplyEntry) {
        let fs = self.clone();
        self.pool.run(move |until| {
            reply.error(fs.refuse_in(newparent, until, |fid| Tmsg::Link { dfid: fid, fid, name: "new" }));
        });
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (fs, name) = (self.clone(), name.to_string_lossy().into_owned());
        self.pool.run(move |until| {
            let make = |dirfid| Tmsg::Unlinkat { dirfid, name: &name, flags: 0 };
            reply.error(fs.refuse_in(parent, until, make));
        });
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.unlink(request, parent, name, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: INodeNo,
        newname: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let fs = self.clone();
        let (name, newname) = (name.to_string_lossy().into_owned(), newname.to_string_lossy().into_owned());
        self.pool.run(move |until| {
            let make =
                |dir| Tmsg::Renameat { olddirfid: dir, oldname: &name, newdirfid: dir, newname: &newname };
            reply.error(fs.refuse_in(parent, until, make));
        });
    }

    /// One attribute is made here: the qid, for programs that tell kinds of files apart.
    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if name != QID_ATTRIBUTE {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let fs = self.clone();
        self.pool.run(move |until| match fs.path(ino).and_then(|path| fs.hive.getattr(&path, None, until)) {
            Ok((qid, _)) => {
                let text = format!("{:02x} {:08x} {:016x}", qid.kind, qid.version, qid.path);
                match text.len() as u32 {
                    len if size == 0 => reply.size(len),
                    len if len > size => reply.error(Errno::ERANGE),
                    _ => reply.data(text.as_bytes()),
                }
            }
            Err(number) => reply.error(errno(number)),
        });
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::EOPNOTSUPP);
    }
}
