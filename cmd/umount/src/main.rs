//! coh-umount: takes a mounted hive away, also one whose process is gone.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{mount_path, mounted_at, unmount};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Unmount a hive
#[derive(Parser)]
#[command(name = "coh-umount", version)]
struct Args {
    /// Where it is mounted
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let args: Args = match cohcmd::arguments() {
        Ok(args) => args,
        Err(status) => return status,
    };
    let mut status = ExitCode::SUCCESS;
    for dir in &args.dirs {
        if let Err(what) = end(dir) {
            eprintln!("coh-umount: {}: {what}", dir.display());
            status = ExitCode::FAILURE;
        }
    }
    status
}

fn end(dir: &Path) -> Result<(), String> {
    let path = mount_path(dir).map_err(|error| error.to_string())?;
    match mounted_at(&path)? {
        None => Err("nothing is mounted there".into()),
        Some(point) if point.is_hive => unmount(&path),
        Some(point) => {
            Err(format!("{} is mounted there, and that is no hive; umount(8) ends it", point.kind))
        }
    }
}
