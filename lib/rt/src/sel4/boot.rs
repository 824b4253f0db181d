//! What a server is told at its start: its configuration page, and the manifest behind it.

use crate::BootError;
use crate::prelude::*;
use manifest::Manifest;

/// A server's configuration: all of it.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The server's manifest name.
    pub name: &'static str,
    /// Which of the server's processes this is: the image has one of each.
    pub index: u32,
    /// The manifest in force.
    pub manifest: Manifest,
}

impl Boot {
    /// What the root task has mapped.
    pub fn new(name: &'static str) -> Result<Boot, BootError> {
        let manifest = Manifest::from_cbor(task::manifest())
            .map_err(|error| BootError(format!("manifest.cbor: {error}")))?;
        Ok(Boot { name, index: 0, manifest })
    }

    /// Where the server keeps files: in the memory that it has over all its lives. Asked once.
    pub fn files(&self) -> Result<files::Memory, BootError> {
        let said = |fault| BootError(format!("servers.{}.keep_kib: {fault}", self.name));
        files::Memory::open(task::kept()).map_err(said)
    }

    /// Where a worker that is started finds the door: at the end of its channel.
    pub fn door(&self) -> String {
        "channel".into()
    }

    /// What a `file:PATH` under the manifest's `key` refers to: the one secret that the image has for this
    /// process, if its name is the path's last part. The caller wipes it.
    pub fn secret(&self, key: &str, reference: &str) -> Result<String, BootError> {
        let config = task::config();
        let name = reference.strip_prefix("file:").and_then(|path| path.rsplit('/').next());
        if name.is_none() || name != Some(config.secret_name.as_str()) {
            return Err(BootError(format!("{key} {reference}: the image has none for {}", self.name)));
        }
        Ok(config.secret.as_str().to_owned())
    }
}
