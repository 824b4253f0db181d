//! Where a hive lives: its run and data directories, and where its manifest is found.

use crate::trouble::{Trouble, at};
use std::env;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// `--run`, else the default one.
pub(crate) fn run(option: Option<PathBuf>) -> Result<PathBuf, Trouble> {
    absolute(&option.unwrap_or_else(cohcmd::run_dir))
}

/// `--data`, else the default one.
pub(crate) fn data(option: Option<PathBuf>) -> Result<PathBuf, Trouble> {
    let dir = option.or_else(cohcmd::data_dir).ok_or_else(|| {
        Trouble("no place for data: HOME is not set; say where with --data DIR or COH_DATA".into())
    })?;
    absolute(&dir)
}

pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Trouble> {
    std::path::absolute(path).map_err(at(path))
}

/// Makes a directory for its user alone; one that is another's is refused.
pub(crate) fn private(dir: &Path) -> Result<(), Trouble> {
    make(dir)?;
    let meta = fs::metadata(dir).map_err(at(dir))?;
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me {
        return Err(Trouble(format!(
            "{}: belongs to uid {}, not to you (uid {me}); name another directory with --run or --data",
            dir.display(),
            meta.uid()
        )));
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(at(dir))?;
    }
    Ok(())
}

/// Makes a directory, and those above it that are missing, for its user alone.
pub(crate) fn make(dir: &Path) -> Result<(), Trouble> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Trouble(format!("{}: there is something that is no directory", dir.display()))
        }
        _ => at(dir)(error),
    })
}

/// `--manifest`, else the first that is there: `sys/hive.toml` here, the one of the source tree that
/// this program was built in, `/etc/coh/hive.toml`.
pub(crate) fn manifest(option: Option<PathBuf>) -> Result<PathBuf, Trouble> {
    if let Some(path) = option {
        return absolute(&path);
    }
    let built_in = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("../../sys/hive.toml")));
    let candidates = [Some("sys/hive.toml".into()), built_in, Some("/etc/coh/hive.toml".into())];
    match candidates.into_iter().flatten().find(|path: &PathBuf| path.is_file()) {
        Some(path) => path.canonicalize().map_err(at(&path)),
        None => Err(Trouble(
            "no manifest: neither sys/hive.toml nor /etc/coh/hive.toml is there; name one with --manifest FILE"
                .into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_directory_is_for_its_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert!(private(Path::new("/dev/null/x")).is_err());
    }
}
