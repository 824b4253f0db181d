//! Is the hive mounted, and away with a mount that its server has left behind.

use cohcmd::Life;
use std::path::Path;

/// Is a hive mounted at `dir`? Asks the kernel's table and never the file system itself,
/// which may not answer.
pub(crate) fn is_mounted(dir: &Path) -> bool {
    let found = cohcmd::mounted_at(dir);
    found.is_ok_and(|point| point.is_some_and(|point| point.is_hive))
}

/// How what is mounted at `dir` does, if anything is. What is no hive is not asked.
pub(crate) fn life(dir: &Path) -> Option<Life> {
    let path = cohcmd::mount_path(dir).ok()?;
    let point = cohcmd::mounted_at(&path).ok()??;
    Some(if point.is_hive { cohcmd::life(&path) } else { Life::Answers })
}

/// Takes a mount away whose server is gone, even where somebody still has files of it open. Says
/// whether nothing is mounted there any more.
pub(crate) fn clear(dir: &Path) -> bool {
    // Whether it worked is looked up.
    let _ = is_mounted(dir).then(|| cohcmd::unmount(dir));
    !is_mounted(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_mounted_is_nothing_to_clear() {
        assert!(clear(Path::new("/nowhere/at all")));
        assert!(!is_mounted(Path::new("/")), "not by FUSE");
        assert_eq!(life(Path::new("/nowhere/at all")), None);
        assert_eq!(life(Path::new("/proc")), Some(Life::Answers));
    }
}
