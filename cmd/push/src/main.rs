//! cohpush: files to the telemetry of a device. Small ones go in envelopes into a segment of their own;
//! large ones stay outside, in chunks, and the hive gets a manifest that is checked when it is sealed.
#![forbid(unsafe_code)]

mod device;
mod large;
mod small;

use artefact::chunks::Chunks;
use artefact::{envelope, is_name, name_of};
use clap::Parser;
use cohcmd::{HiveArgs, Out, Trouble};
use device::{Device, Limits};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Gives files to the telemetry of a device
#[derive(Parser)]
#[command(name = "cohpush", version)]
struct Args {
    /// Files of this machine
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Whose telemetry it is
    #[arg(long, value_name = "ID")]
    device: String,
    /// The media type [by the file's name]
    #[arg(long, value_name = "TYPE")]
    mime: Option<String>,
    /// Where the chunks of large files are put: a directory, or its file: URI
    #[arg(long, value_name = "DIR")]
    store: Option<String>,
    /// Bytes of a chunk [1 MiB; more where the hive allows too few]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(4096..=1 << 30))]
    chunk: Option<u64>,
    /// What a large file is called there [the file's name]
    #[arg(long, value_name = "NAME")]
    artefact: Option<String>,
    /// Go on with a small file that was broken off in this segment
    #[arg(long, value_name = "SEGMENT", conflicts_with = "store")]
    resume: Option<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let one = args.artefact.is_some() || args.resume.is_some();
        if one && args.files.len() > 1 {
            return Err(Trouble::Usage("--artefact and --resume are for one file".into()));
        }
        if let Some(name) = args.artefact.as_ref().filter(|name| !is_name(name)) {
            return Err(Trouble::Usage(format!(
                "{name}: an artefact's name is 1..128 of a-z A-Z 0-9 - _ ., no dot first"
            )));
        }
        let chunks = args.store.as_deref().map(|store| {
            Chunks::at(store).map_err(|error| Trouble::failed(format!("{store}: no chunk store: {error}")))
        });
        let chunks = chunks.transpose()?;
        let mut device = Device::find(args.hive.find()?, &args.device)?;
        for file in &args.files {
            match push(&args, file, chunks.as_ref(), &mut device) {
                Ok(line) => out.line(line)?,
                Err(trouble) => out.complain(trouble)?,
            }
        }
        Ok(())
    })
}

/// One file; what there is to say of it.
fn push(args: &Args, path: &Path, chunks: Option<&Chunks>, device: &mut Device) -> Result<String, Trouble> {
    let shown = path.display();
    let failed = |error: std::io::Error| Trouble::failed(format!("{shown}: {error}"));
    let about = fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        return Err(Trouble::failed(format!("{shown}: not a file")));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mime = args.mime.clone().unwrap_or_else(|| envelope::mime_of(&name).to_owned());
    let Limits { inline_bytes, artefact_bytes, .. } = device.limits;
    device.allows(&mime).map_err(|why| Trouble::failed(format!("{shown}: {why}")))?;
    if about.len() <= inline_bytes {
        let data = fs::read(path).map_err(failed)?;
        return small::push(device, &data, &mime, args.resume.as_deref());
    }
    if about.len() > artefact_bytes {
        return Err(Trouble::failed(format!(
            "{shown}: {} bytes; this hive takes {artefact_bytes}, see telemetry.artefact_bytes",
            about.len()
        )));
    }
    let Some(chunks) = chunks else {
        return Err(Trouble::failed(format!(
            "{shown}: {} bytes; more than {inline_bytes} go by reference: say where the chunks are put with --store DIR",
            about.len()
        )));
    };
    let name = args.artefact.clone().unwrap_or_else(|| name_of(&name));
    let file = File::open(path).map_err(failed)?;
    let source = large::Source { path, file, bytes: about.len(), name };
    large::push(device, source, chunks, args.chunk)
}
