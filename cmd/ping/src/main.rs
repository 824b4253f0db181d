//! cohping: round trips to the door and through it to each server.
#![forbid(unsafe_code)]

use clap::Parser;
use cohcmd::{Hive, HiveArgs, Out, Trouble, clean, mounts, server_at, table};
use serde::Serialize;
use std::process::ExitCode;

/// Measures round trips to the door and to each server
#[derive(Parser)]
#[command(name = "cohping", version)]
struct Args {
    /// Round trips to each
    #[arg(short, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Files to ask for [one of each server]
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    hive: HiveArgs,
}

#[derive(Serialize)]
struct Times {
    path: String,
    server: String,
    count: usize,
    min_us: f64,
    median_us: f64,
    p99_us: f64,
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let mut hive = args.hive.find()?;
        let mounts = hive.text("/proc/9p/self/ns").map(|ns| mounts(&ns)).unwrap_or_default();
        let server = |path: &str| server_at(&mounts, path).map_or("door", |m| m.server.as_str()).to_owned();
        let mut targets: Vec<(String, String)> = Vec::new();
        if args.paths.is_empty() {
            targets.push(("/".into(), "door".into()));
            for mount in &mounts {
                if mount.server != "door" && !targets.iter().any(|(_, server)| *server == mount.server) {
                    targets.push((mount.at.clone(), mount.server.clone()));
                }
            }
        }
        for path in &args.paths {
            match clean(path) {
                Ok(path) => targets.push((path.clone(), server(&path))),
                Err(trouble) => out.complain(trouble)?,
            }
        }
        let mut rows = Vec::new();
        for (path, server) in targets {
            match ping(&mut hive, path, server, args.count) {
                Ok(times) if args.json => out.json(&times)?,
                Ok(times) => rows.push(vec![
                    times.path,
                    times.server,
                    times.count.to_string(),
                    format!("{:.1}", times.min_us),
                    format!("{:.1}", times.median_us),
                    format!("{:.1}", times.p99_us),
                ]),
                Err(trouble) => out.complain(trouble)?,
            }
        }
        if !rows.is_empty() {
            let header = ["PATH", "SERVER", "N", "MIN_US", "MEDIAN_US", "P99_US"].map(str::to_owned);
            table(&header, &rows).into_iter().try_for_each(|line| out.line(line))?;
        }
        Ok(())
    })
}

fn ping(hive: &mut Hive, path: String, server: String, count: u32) -> Result<Times, Trouble> {
    let mut times_us = Vec::with_capacity(count as usize);
    hive.ping(&path, count, |elapsed| times_us.push(elapsed.as_secs_f64() * 1e6))?;
    times_us.sort_by(f64::total_cmp);
    let nth = |quantile: f64| times_us[((times_us.len() - 1) as f64 * quantile).round() as usize];
    // Nanoseconds are the last digits that mean anything.
    let at = |quantile: f64| (nth(quantile) * 1e3).round() / 1e3;
    Ok(Times { path, server, count: times_us.len(), min_us: at(0.0), median_us: at(0.5), p99_us: at(0.99) })
}
