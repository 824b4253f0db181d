//! What a server is told at its start: two directories, and in one of them the manifest.

use crate::BootError;
use manifest::Manifest;
use std::fmt;
use std::fs;
use std::path::PathBuf;

/// A server's configuration: all of it.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The server's manifest name.
    pub name: &'static str,
    /// Which of its processes this is, where it has several (`servers.NAME.count`); 0 the first.
    pub index: u32,
    /// The run directory of the hive.
    pub run: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    /// The manifest in force.
    pub manifest: Manifest,
}

impl Boot {
    /// From `--run DIR --data DATA`, as init gives them; `--index N` to each process but the first.
    pub fn from_args(name: &'static str, args: impl Iterator<Item = String>) -> Result<Boot, BootError> {
        let (mut run, mut data, mut index) = (None, None, 0);
        let mut args = args.skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--run" => run = args.next(),
                "--data" => data = args.next(),
                "--index" => {
                    let said = || BootError("--index N: which of the server's processes this is".into());
                    index = args.next().and_then(|text| text.parse().ok()).ok_or_else(said)?;
                }
                other => {
                    return Err(BootError(format!(
                        "{other}: no such option; coh up starts this server, with --run DIR --data DIR"
                    )));
                }
            }
        }
        let (Some(run), Some(data)) = (run, data) else {
            return Err(BootError(
                "no --run DIR and --data DIR; this is a server of a hive, which coh up starts".into(),
            ));
        };
        let path = PathBuf::from(&run).join("manifest.cbor");
        let bytes = fs::read(&path)
            .map_err(|error| BootError(format!("{}: {error}; coh up writes it", path.display())))?;
        let manifest =
            Manifest::from_cbor(&bytes).map_err(|error| BootError(format!("{}: {error}", path.display())))?;
        let count = manifest.server(name).map_or(1, |server| server.count);
        if index >= count {
            return Err(BootError(format!("--index {index}: servers.{name}.count is {count}")));
        }
        Ok(Boot { name, index, run: run.into(), data: data.into(), manifest })
    }

    /// What a `file:PATH` or `env:NAME` under the manifest's `key` refers to; a relative path is one of the
    /// data directory. The caller wipes it.
    pub fn secret(&self, key: &str, reference: &str) -> Result<String, BootError> {
        let said = |what: &dyn fmt::Display| BootError(format!("{key} {reference}: {what}"));
        match (reference.strip_prefix("file:"), reference.strip_prefix("env:")) {
            (Some(path), _) => fs::read_to_string(self.data.join(path)).map_err(|error| said(&error)),
            (_, Some(name)) => std::env::var(name).map_err(|error| said(&error)),
            _ => Err(said(&"file:PATH or env:NAME is wanted")),
        }
    }

    /// Where the server keeps files: below the data directory.
    pub fn files(&self) -> Result<files::Real, BootError> {
        Ok(files::Real::new(&self.data))
    }

    /// Where a worker that is started finds the door.
    pub fn door(&self) -> String {
        format!("unix!{}", self.run.join("door").display())
    }

    /// Where this process listens.
    pub fn own_socket(&self) -> PathBuf {
        self.socket(&manifest::process_name(self.name, self.index))
    }

    /// Where a server of the hive listens.
    pub fn socket(&self, server: &str) -> PathBuf {
        self.run.join("srv").join(server)
    }
}
