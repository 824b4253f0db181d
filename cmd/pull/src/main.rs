//! cohpull: the telemetry of a device as files. Segments are copied as they are; files that went in
//! envelopes and artefacts that went by reference are put together again, and checked.
#![forbid(unsafe_code)]

mod artefacts;
mod envelopes;
mod segments;

use artefact::chunks::Chunks;
use clap::Parser;
use cohcmd::{HiveArgs, Out, Trouble};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Fetches the telemetry of a device; again, it goes on where it was
#[derive(Parser)]
#[command(name = "cohpull", version)]
struct Args {
    /// Whose telemetry
    #[arg(value_name = "DEVICE")]
    device: String,
    /// Where to: seg/, file/ and artefact/ are made there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// A directory of chunks that is looked at before what manifests say
    #[arg(long, value_name = "DIR")]
    store: Option<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let store = args.store.as_deref().map(Chunks::at).transpose();
        let store = store.map_err(|error| Trouble::failed(format!("no chunk store: {error}")))?;
        let mut hive = args.hive.find()?;
        let names = segments::names(&mut hive, &args.device)?;
        let dirs = ["seg", "file", "artefact"].map(|name| args.output.join(name));
        dirs.iter().try_for_each(fs::create_dir_all).map_err(failed(&args.output))?;
        let [seg, file, artefact] = &dirs;
        let copied = segments::pull(&mut hive, &args.device, names, seg, out)?;
        for name in &copied {
            match envelopes::unpack(&seg.join(name), file, name) {
                Ok(Some(line)) => out.line(line)?,
                Ok(None) => {}
                Err(trouble) => out.complain(trouble)?,
            }
        }
        artefacts::pull(seg, artefact, store.as_ref(), out)
    })
}

/// What could not be done with a file of this machine.
fn failed(path: &Path) -> impl Fn(io::Error) -> Trouble + '_ {
    move |error| Trouble::failed(format!("{}: {error}", path.display()))
}

/// Gives a file that is complete its name, durably.
fn finish(part: &Path, path: &Path) -> io::Result<()> {
    fs::File::open(part)?.sync_all()?;
    fs::rename(part, path)?;
    path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
}
