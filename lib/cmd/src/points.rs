//! Mount points, by the kernel's own table: the file systems themselves are never asked, since one whose
//! program is gone or stands still would not answer.

use rustix::mount::{UnmountFlags, unmount as detach};
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A little more than the deadline of a mount's operation.
const ANSWER: Duration = Duration::from_secs(12);

/// A file system and where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// Where.
    pub at: PathBuf,
    /// Its type, `ext4`, `fuse.coh`.
    pub kind: String,
    /// Is it a hive? Its type is `fuse.coh`, and where root has mounted it `fuse`, with `coh` as its source.
    pub is_hive: bool,
}

/// What is mounted, in the order in which it was.
pub fn mount_points() -> Result<Vec<MountPoint>, String> {
    let path = "/proc/self/mountinfo";
    let table = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(table.split(|b| *b == b'\n').filter_map(parse).collect())
}

/// What is mounted at `dir`, an absolute path; of several the last, which covers the others.
pub fn mounted_at(dir: &Path) -> Result<Option<MountPoint>, String> {
    Ok(mount_points()?.into_iter().rfind(|point| point.at == dir))
}

/// A line of mountinfo(5): `36 35 98:0 /root /mount/point opts … - fstype source options`.
fn parse(line: &[u8]) -> Option<MountPoint> {
    let mut fields = line.split(|b| *b == b' ');
    let at = unescape(fields.nth(4)?);
    fields.find(|field| *field == b"-")?;
    let (kind, source) = (fields.next()?, fields.next()?);
    let is_hive = kind == b"fuse.coh" || (kind == b"fuse" && source == b"coh");
    let kind = String::from_utf8_lossy(kind).into_owned();
    Some(MountPoint { at: PathBuf::from(OsString::from_vec(at)), kind, is_hive })
}

/// Spaces, tabs, newlines and backslashes are three octal digits there.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *first == b'\\');
        out.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    out
}

/// How a hive that is mounted does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It answers, if only that its door is away.
    Answers,
    /// Its program is gone.
    Gone,
    /// Its program stands still.
    Silent,
}

/// Asks what is mounted at `dir`. One that answers in time does so within an operation's deadline.
pub fn life(dir: &Path) -> Life {
    let (dir, (say, said)) = (dir.to_owned(), mpsc::channel());
    // The thread of a mount that stands still goes on waiting; nothing else does.
    let asks = std::thread::Builder::new().spawn(move || {
        let gone = rustix::io::Errno::NOTCONN.raw_os_error();
        let is_gone = fs::metadata(dir).is_err_and(|error| error.raw_os_error() == Some(gone));
        // Nobody listens any more if it took too long.
        let _ = say.send(if is_gone { Life::Gone } else { Life::Answers });
    });
    asks.ok().and_then(|_| said.recv_timeout(ANSWER).ok()).unwrap_or(Life::Silent)
}

/// Takes a mount away, even one in use: those who use it get errors, nobody hangs.
pub fn unmount(dir: &Path) -> Result<(), String> {
    if detach(dir, UnmountFlags::DETACH).is_ok() {
        return Ok(());
    }
    // Who is not root has the help of fuse's own program.
    let mut why = "install the package fuse3".to_owned();
    for helper in ["fusermount3", "fusermount"] {
        let mut command = Command::new(helper);
        command.args(["-u", "-z", "--"]).arg(dir);
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
            Ok(status) if status.success() => return Ok(()),
            Ok(_) => {
                why = format!("{helper} does not unmount it; only who mounted it, or root, can");
                break;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => why = format!("{helper}: {error}"),
        }
    }
    Err(why)
}

/// An absolute path as the kernel's table would have it. What is mounted there is not asked, only what is
/// above it.
pub fn mount_path(dir: &Path) -> std::io::Result<PathBuf> {
    let dir = std::path::absolute(dir)?;
    let (Some(above), Some(name)) = (dir.parent(), dir.file_name()) else {
        // The root, or a path that ends in `..`.
        return fs::canonicalize(dir);
    };
    let path = fs::canonicalize(above)?.join(name);
    // The kernel says of a directory that it is no link, without asking what is mounted there.
    match fs::read_link(&path) {
        Ok(_) => fs::canonicalize(&path),
        Err(_) => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_place_and_kind() {
        let point = |line: &str| parse(line.as_bytes());
        let hive =
            point("36 35 0:52 / /home/a\\040b/n rw,nosuid shared:1 - fuse.coh coh rw,user_id=0").unwrap();
        assert_eq!((hive.at.as_path(), hive.is_hive), (Path::new("/home/a b/n"), true));
        assert!(point("36 35 0:52 / /n rw - fuse coh rw").unwrap().is_hive);
        assert!(!point("36 35 0:52 / /n rw - fuse sshfs rw").unwrap().is_hive);
        let other = point("36 35 8:1 / / rw shared:1 master:2 - ext4 /dev/vda rw").unwrap();
        assert_eq!((other.kind.as_str(), other.is_hive), ("ext4", false));
        assert_eq!(point(""), None);
        assert_eq!(point("36 35 0:52 / /n rw"), None);
    }

    #[test]
    fn octal_digits_are_read_where_a_backslash_is_before_them() {
        for (field, path) in
            [("/a\\134b", "/a\\b"), ("/a\\011", "/a\t"), ("/040", "/040"), ("/a\\04", "/a\\04")]
        {
            assert_eq!(unescape(field.as_bytes()), path.as_bytes());
        }
    }

    #[test]
    fn the_root_is_mounted_and_a_new_directory_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(mounted_at(dir.path()).unwrap(), None);
        assert!(mounted_at(Path::new("/")).unwrap().is_some_and(|root| !root.is_hive));
    }

    #[test]
    fn a_path_is_resolved_up_to_its_last_name() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap();
        std::os::unix::fs::symlink(&real, real.join("link")).unwrap();
        assert_eq!(mount_path(&real.join("link/n")).unwrap(), real.join("n"));
        assert_eq!(mount_path(&real.join("link")).unwrap(), real);
        assert_eq!(mount_path(&real.join("link/..")).unwrap(), real.parent().unwrap());
        assert_eq!(mount_path(Path::new("/")).unwrap(), Path::new("/"));
    }
}
