//! Is the hive mounted, and away with a mount that its server has left behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Is a FUSE file system mounted at `dir`? Asks the kernel's table and never the file system itself,
/// which may not answer.
pub(crate) fn is_mounted(dir: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    dir.to_str().is_some_and(|dir| table.lines().any(|line| is_fuse_at(line, dir)))
}

/// A line of mountinfo(5): `36 35 98:0 /root /mount/point opts … - fstype source options`.
fn is_fuse_at(line: &str, dir: &str) -> bool {
    let Some((mount, kind)) = line.split_once(" - ") else { return false };
    let point = mount.split(' ').nth(4).map(unescape);
    point.as_deref() == Some(dir) && kind.starts_with("fuse")
}

/// Spaces, tabs, newlines and backslashes are three octal digits there.
fn unescape(field: &str) -> String {
    let mut out = String::new();
    let mut rest = field;
    while let Some(i) = rest.find('\\') {
        let code = rest.get(i + 1..i + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let Some(code) = code else { break };
        out.push_str(&rest[..i]);
        out.push(code.into());
        rest = &rest[i + 4..];
    }
    out + rest
}

/// Takes a mount away whose server is gone, even where somebody still has files of it open. Says
/// whether nothing is mounted there any more.
pub(crate) fn clear(dir: &Path) -> bool {
    for program in ["fusermount3", "fusermount"] {
        if !is_mounted(dir) {
            return true;
        }
        let mut command = Command::new(program);
        command.args(["-u", "-z", "--"]).arg(dir);
        // What it says is of no use: whether it worked is looked up.
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    !is_mounted(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_tells_a_fuse_mount() {
        let line = "36 35 0:52 / /home/a\\040b/n rw,nosuid shared:1 - fuse.coh coh rw,user_id=0";
        assert!(is_fuse_at(line, "/home/a b/n"));
        assert!(!is_fuse_at(line, "/home/a"));
        assert!(!is_fuse_at("36 35 0:52 / /n rw - ext4 /dev/vda rw", "/n"));
        assert!(!is_fuse_at("", "/n"));
    }

    #[test]
    fn nothing_mounted_is_nothing_to_clear() {
        assert!(clear(Path::new("/nowhere/at all")));
    }
}
