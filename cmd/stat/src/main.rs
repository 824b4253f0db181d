//! cohstat: what there is to know of a file without reading it.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{HiveArgs, Mounted, Out, clean, mode_string, mounts, server_at};
use serde::Serialize;
use std::process::ExitCode;

/// Prints mode, size, qid, server and kind of files of the hive
#[derive(Parser)]
#[command(name = "cohstat", version)]
struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Files of the hive
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

#[derive(Serialize)]
struct Facts<'a> {
    path: &'a str,
    kind: &'static str,
    mode: String,
    size: u64,
    qid: String,
    server: &'a str,
    spec: &'a str,
    read_only: bool,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let mut hive = args.hive.find()?;
        // A role that does not see its own name space still has files.
        let mounts = hive.text("/proc/9p/self/ns").map(|ns| mounts(&ns)).unwrap_or_default();
        // Above the mounts there are directories of the door's own.
        let door = Mounted { server: "door".into(), at: "/".into(), spec: String::new(), is_read_only: true };
        for path in &args.paths {
            let (path, stat) = match clean(path).and_then(|path| hive.stat(&path).map(|stat| (path, stat))) {
                Ok(found) => found,
                Err(trouble) => {
                    out.complain(trouble)?;
                    continue;
                }
            };
            let from = server_at(&mounts, &path).unwrap_or(&door);
            let facts = Facts {
                path: &path,
                kind: stat.kind(&path).name(),
                mode: format!("{:04o}", stat.mode & 0o7777),
                size: stat.size,
                qid: format!("{:016x}", stat.qid_path),
                server: &from.server,
                spec: &from.spec,
                read_only: from.is_read_only,
            };
            if args.json {
                out.json(&facts)?;
            } else {
                let spec =
                    if facts.spec.is_empty() { String::new() } else { format!(" spec={}", facts.spec) };
                let flag = if facts.read_only { " -r" } else { "" };
                out.line(format!(
                    "{path} kind={} mode={}({}) size={} qid={} server={}{spec}{flag}",
                    facts.kind,
                    facts.mode,
                    mode_string(stat.mode),
                    facts.size,
                    facts.qid,
                    facts.server
                ))?;
            }
        }
        Ok(())
    })
}
