//! A path as a user types it, made a path of the hive.

use crate::trouble::Trouble;
use ninep::refusal::Word;

/// Components in a path, by DESIGN §4.
const DEPTH_MAX: usize = 8;
/// Bytes in a component.
const NAME_MAX: usize = 255;

/// `/a/b` from `a/b`, `/a//b/` and the like. What no hive has is refused here, in the door's words, so
/// that on a mount `..` does not lead out of the hive.
pub fn clean(path: &str) -> Result<String, Trouble> {
    let mut clean = String::with_capacity(path.len() + 1);
    let refuse = |detail: &str| Err(Trouble::refused(path, Word::Invalid, detail));
    if path.contains('\0') {
        return refuse("a NUL in the path");
    }
    let names = path.split('/').filter(|name| !name.is_empty());
    for (depth, name) in names.enumerate() {
        if name == "." || name == ".." {
            return refuse("'.' and '..' are no names here; write the path from the root");
        }
        if name.len() > NAME_MAX {
            return refuse("a name of more than 255 bytes");
        }
        if depth == DEPTH_MAX {
            return refuse("more than 8 names in the path");
        }
        clean.push('/');
        clean.push_str(name);
    }
    if clean.is_empty() {
        clean.push('/');
    }
    Ok(clean)
}

/// `name` in the directory `dir`.
pub(crate) fn join(dir: &str, name: &str) -> String {
    format!("{}/{name}", dir.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_do_not_matter() {
        for path in ["/proc/boot", "proc/boot", "//proc///boot/"] {
            assert_eq!(clean(path).unwrap(), "/proc/boot");
        }
        for path in ["", "/", "//"] {
            assert_eq!(clean(path).unwrap(), "/");
        }
    }

    #[test]
    fn a_path_cannot_leave_the_hive() {
        for path in ["..", "/proc/../..", "/proc/./boot", "a\0b"] {
            assert!(clean(path).unwrap_err().to_string().contains("Invalid"), "{path}");
        }
    }

    #[test]
    fn depth_and_length_have_limits() {
        assert!(clean("/1/2/3/4/5/6/7/8").is_ok());
        assert!(clean("/1/2/3/4/5/6/7/8/9").is_err());
        assert!(clean(&"n".repeat(255)).is_ok());
        assert!(clean(&"n".repeat(256)).is_err());
    }

    #[test]
    fn joining_to_the_root_gives_one_slash() {
        assert_eq!(join("/", "proc"), "/proc");
        assert_eq!(join("/proc", "boot"), "/proc/boot");
    }
}
