//! Where the issuer's key is: the manifest in force says, else the data directory has it.

use clap::Args;
use cohcmd::Trouble;
use manifest::Manifest;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use ticket::{Bounds, IssuerKey};
use zeroize::Zeroizing;

/// The options that say where to look.
#[derive(Args)]
pub(crate) struct From {
    /// Run directory of the hive [$COH_RUN]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Its data directory [$COH_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The hive that the ticket is for [the manifest's in force]
    #[arg(long, value_name = "NAME")]
    hive: Option<String>,
}

/// What minting needs.
pub(crate) struct Issuer {
    pub(crate) key: IssuerKey,
    pub(crate) hive: String,
    /// The bounds of the hive in force; none where none runs, for the hive that a ticket is shown to has its own.
    pub(crate) bounds: Bounds,
}

impl From {
    pub(crate) fn find(&self) -> Result<Issuer, Trouble> {
        let run = self.run.clone().unwrap_or_else(cohcmd::run_dir);
        let manifest = in_force(&run)?;
        let data = self
            .data
            .clone()
            // Init notes where its data is.
            .or_else(|| fs::read_to_string(run.join("data")).ok().map(|dir| dir.trim().into()))
            .or_else(cohcmd::data_dir);
        let reference = manifest.as_ref().and_then(|manifest| manifest.tickets.issuer.clone());
        let key = read_key(reference.as_deref().unwrap_or("file:issuer.key"), data.as_deref())?;
        let hive = self.hive.clone().or_else(|| manifest.as_ref().map(|m| m.hive.name.clone()));
        let bounds = manifest.map(|manifest| Bounds::from(&manifest.tickets)).unwrap_or_default();
        Ok(Issuer { key, hive: hive.unwrap_or_else(|| "hive".into()), bounds })
    }
}

/// The manifest of a hive that runs; None where none does.
fn in_force(run: &Path) -> Result<Option<Manifest>, Trouble> {
    let path = run.join("manifest.cbor");
    match fs::read(&path) {
        Ok(bytes) => Manifest::from_cbor(&bytes)
            .map(Some)
            .map_err(|error| Trouble::failed(format!("{}: {error}", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        // A ticket for another hive, or without this one's bounds, would be the alternative.
        Err(error) => Err(Trouble::failed(format!("{}: {error}", path.display()))),
    }
}

fn read_key(reference: &str, data: Option<&Path>) -> Result<IssuerKey, Trouble> {
    let text = if let Some(name) = reference.strip_prefix("env:") {
        env::var(name)
            .map(Zeroizing::new)
            .map_err(|_| Trouble::failed(format!("tickets.issuer is env:{name}: ${name} is not set")))?
    } else {
        let path = Path::new(reference.strip_prefix("file:").unwrap_or(reference));
        let path = data.map_or_else(|| path.to_owned(), |data| data.join(path));
        cohcmd::secret(&path).map_err(|error| {
            let path = path.display();
            Trouble::failed(format!(
                "{path}: {error}; name the hive's data directory with --data or COH_DATA"
            ))
        })?
    };
    IssuerKey::from_hex(text.trim())
        .map_err(|_| Trouble::failed(format!("{reference}: not an issuer key; 64 hex digits are wanted")))
}
