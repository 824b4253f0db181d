//! cohbench: measure a door, or any server of 9P2000.L.
#![forbid(unsafe_code)]

mod conns;
mod measure;
mod pool;
mod processes;
mod segments;
mod session;
mod workers;

use clap::{Parser, ValueEnum};
use cohcmd::{Out, Trouble, run_dir};
use conns::Work;
use measure::{Count, Request, Times};
use serde::Serialize;
use session::Target;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measures a door, or any other 9P2000.L server
#[derive(Parser)]
#[command(name = "cohbench", version)]
struct Args {
    /// What to measure
    #[arg(default_value = "rtt", value_name = "MODE")]
    modes: Vec<Mode>,
    /// Where: unix!PATH or tcp!HOST!PORT [$COH_DOOR; the default hive's door]
    #[arg(long, value_name = "ADDR")]
    door: Option<String>,
    /// Whom to attach as
    #[arg(long, default_value = "queen")]
    uname: String,
    /// What to attach to, on servers other than a door
    #[arg(long, hide_short_help = true, default_value = "", conflicts_with = "ticket")]
    aname: String,
    /// A file that holds the ticket to show
    #[arg(long, value_name = "FILE")]
    ticket: Option<PathBuf>,
    /// The file that is asked for, read or written [/proc/version; seq: /log/queen.log; ctl: /queen/ctl]
    #[arg(long)]
    path: Option<String>,
    /// In ctl: the command
    #[arg(
        long,
        hide_short_help = true,
        value_name = "LINE",
        default_value = "{\"budget\":{\"ops\":1000000}}"
    )]
    line: String,
    /// What rtt and pipe repeat
    #[arg(long, value_enum, default_value = "getattr")]
    request: Request,
    /// Requests in flight [pipe, append, pool 32; seq 16; cycle, conns 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    in_flight: Option<u16>,
    /// In cycle: one message at a time
    #[arg(long, hide_short_help = true)]
    serial: bool,
    /// In conns, ctl and pool: how many connections [1000; ctl: 32; pool: as the client policy has it]
    #[arg(long, value_name = "N")]
    conns: Option<usize>,
    /// In conns: the process whose memory is looked at [who listens at a Unix socket]
    #[arg(long, hide_short_help = true)]
    pid: Option<u32>,
    /// In workers: how many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    count: u32,
    /// In workers: records a second of each
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = hertz)]
    hz: f64,
    /// In workers: one more, whose records come as fast as they are taken
    #[arg(long, hide_short_help = true)]
    flood: bool,
    /// In append and segments: bytes in a record
    #[arg(long, hide_short_help = true, value_name = "BYTES", default_value_t = 64)]
    record: usize,
    /// Time for each
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// The frame size to offer
    #[arg(long, hide_short_help = true, default_value_t = 8192, value_parser = clap::value_parser!(u32).range(256..=1 << 20))]
    msize: u32,
    /// The peer answers frames without a handshake
    #[arg(long, hide = true)]
    bare: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Round trips, one at a time
    Rtt,
    /// Requests a second with many in flight
    Pipe,
    /// Walk, open, read and clunk
    Cycle,
    /// Sequential reads
    Seq,
    /// Appended records
    Append,
    /// Segment data of devices
    Segments,
    /// Reads a second on many connections, and what each costs
    Conns,
    /// Connect, attach, walk and open
    Start,
    /// Durable commands a second on many connections
    Ctl,
    /// A hive full of workers: records, and how soon they are readable
    Workers,
    /// Pooled sessions against a single one
    Pool,
}

/// One line of output; what a mode does not measure is left out.
#[derive(Debug, Default, Serialize)]
struct Figure {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<u16>,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mb_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    median_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kib_each: Option<f64>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.01 to 3600".into()),
    }
}

fn hertz(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(hz) if (0.01..=100.0).contains(&hz) => Ok(hz),
        _ => Err("a number from 0.01 to 100".into()),
    }
}

fn main() -> ExitCode {
    cohcmd::main(|args: Args, out: &mut Out| {
        let target = target(&args)?;
        for mode in &args.modes {
            if *mode == Mode::Pool {
                let (time, path) = (Duration::from_secs_f64(args.seconds), args.path.as_deref());
                let window = args.in_flight.unwrap_or(32);
                let path = path.unwrap_or("/proc/version");
                for figure in pool::pool(&target, path, args.conns, window, time)? {
                    if args.json { out.json(&figure)? } else { out.line(figure.text())? }
                }
            } else if *mode == Mode::Workers {
                let time = Duration::from_secs_f64(args.seconds);
                let load = workers::Load { count: args.count as usize, hz: args.hz, time, flood: args.flood };
                let done = workers::workers(&target, &load)?;
                if args.json { out.json(&done)? } else { out.line(done.text())? }
            } else {
                let figure = measure(&args, &target, *mode)?;
                if args.json { out.json(&figure)? } else { out.line(figure.text())? }
            }
            out.flush()?;
        }
        Ok(())
    })
}

fn target(args: &Args) -> Result<Target, Trouble> {
    let env = || std::env::var("COH_DOOR").ok().filter(|addr| !addr.is_empty());
    let default = || format!("unix!{}", run_dir().join("door").display());
    let aname = match &args.ticket {
        Some(file) => std::fs::read_to_string(file)
            .map(|ticket| ticket.trim().to_owned())
            .map_err(|e| Trouble::failed(format!("{}: {e}", file.display())))?,
        None => args.aname.clone(),
    };
    Ok(Target {
        addr: args.door.clone().or_else(env).unwrap_or_else(default),
        uname: args.uname.clone(),
        aname,
        msize: args.msize,
        is_bare: args.bare,
    })
}

fn measure(args: &Args, target: &Target, mode: Mode) -> Result<Figure, Trouble> {
    let time = Duration::from_secs_f64(args.seconds);
    let default = match mode {
        Mode::Ctl => "/queen/ctl",
        Mode::Seq => "/log/queen.log",
        _ => "/proc/version",
    };
    let path = args.path.as_deref().unwrap_or(default);
    let window = |default: u16| args.in_flight.unwrap_or(default);
    let request = match args.request {
        Request::Getattr => "getattr",
        Request::Read => "read",
    };
    Ok(match mode {
        Mode::Rtt => {
            let figure = Figure { mode: "rtt", request: Some(request), ..Figure::default() };
            figure.times(measure::rtt(target, path, args.request, time)?)
        }
        Mode::Pipe => {
            let figure = Figure { mode: "pipe", request: Some(request), ..Figure::default() };
            figure.count(measure::pipe(target, path, args.request, window(32), time)?, window(32))
        }
        Mode::Cycle => {
            let name = if args.serial { "cycle-serial" } else { "cycle" };
            let count = measure::cycle(target, path, window(1), args.serial, time)?;
            Figure { mode: name, ..Figure::default() }.count(count, window(1))
        }
        Mode::Seq => {
            let count = measure::seq(target, path, window(16), time)?;
            Figure { mode: "seq", ..Figure::default() }.count(count, window(16)).bytes(count)
        }
        Mode::Append => {
            let count = measure::append(target, path, args.record, window(32), time)?;
            Figure { mode: "append", ..Figure::default() }.count(count, window(32)).bytes(count)
        }
        Mode::Segments => {
            let path = args.path.as_deref();
            let count = segments::segments(target, path, args.record, window(32), time)?;
            Figure { mode: "segments", ..Figure::default() }.count(count, window(32)).bytes(count)
        }
        Mode::Conns => {
            let conns = args.conns.unwrap_or(1000);
            let many = conns::conns(target, path, &Work::Reads, conns, window(1), time, args.pid)?;
            let figure = Figure { mode: "conns", kib_each: many.kib_each, ..Figure::default() };
            figure.count(many.done, window(1))
        }
        Mode::Ctl => {
            let (conns, work) = (args.conns.unwrap_or(32), Work::Commands(&args.line));
            let many = conns::conns(target, path, &work, conns, window(1), time, args.pid)?;
            Figure { mode: "ctl", ..Figure::default() }.count(many.done, window(1))
        }
        // Lines of their own: see [`workers`] and [`pool`].
        Mode::Workers | Mode::Pool => Figure::default(),
        Mode::Start => {
            Figure { mode: "start", ..Figure::default() }.times(measure::start(target, path, time)?)
        }
    })
}

impl Figure {
    fn times(self, times: Times) -> Self {
        Figure {
            count: times.count as u64,
            mean_us: Some(times.mean_us),
            min_us: Some(times.min_us),
            median_us: Some(times.median_us),
            p99_us: Some(times.p99_us),
            ..self
        }
    }

    fn count(self, count: Count, window: u16) -> Self {
        let per_s = Some(count.count as f64 / count.seconds);
        Figure { count: count.count, per_s, in_flight: Some(window), ..self }
    }

    fn bytes(self, count: Count) -> Self {
        Figure { mb_per_s: Some(count.bytes as f64 / 1e6 / count.seconds), ..self }
    }

    /// `pipe request=getattr in_flight=32 count=512340 per_s=256170`.
    fn text(&self) -> String {
        let mut text = self.mode.to_owned();
        let mut field = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!(" {key}={value}"));
            }
        };
        field("request", self.request.map(str::to_owned));
        field("in_flight", self.in_flight.map(|n| n.to_string()));
        field("count", Some(self.count.to_string()));
        field("per_s", self.per_s.map(|n| format!("{n:.0}")));
        let tenths = |n: Option<f64>| n.map(|n| format!("{n:.1}"));
        field("mb_per_s", tenths(self.mb_per_s));
        field("mean_us", tenths(self.mean_us));
        field("min_us", tenths(self.min_us));
        field("median_us", tenths(self.median_us));
        field("p99_us", tenths(self.p99_us));
        field("kib_each", tenths(self.kib_each));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_leaves_out_what_it_does_not_measure() {
        let count = Count { count: 100, all: 110, bytes: 2_000_000, seconds: 2.0 };
        let figure = Figure { mode: "seq", ..Figure::default() }.count(count, 16).bytes(count);
        assert_eq!(figure.text(), "seq in_flight=16 count=100 per_s=50 mb_per_s=1.0");
    }

    #[test]
    fn times_are_of_all_of_them() {
        let times = Times::of((1..=101).map(|us| us * 1000).rev().collect()).unwrap();
        assert_eq!((times.min_us, times.median_us, times.p99_us, times.mean_us), (1.0, 51.0, 100.0, 51.0));
        assert!(Times::of(Vec::new()).is_err());
    }

    #[test]
    fn modes_are_words_and_bounds_are_checked() {
        let parse = |words: &[&str]| Args::try_parse_from([&["cohbench"], words].concat());
        assert_eq!(parse(&["rtt", "pipe"]).unwrap().modes, [Mode::Rtt, Mode::Pipe]);
        assert_eq!(parse(&[]).unwrap().modes, [Mode::Rtt], "told nothing, it measures round trips");
        assert!(parse(&["rtt", "--seconds", "0"]).is_err());
        assert!(parse(&["pipe", "--in-flight", "0"]).is_err());
        assert!(parse(&["pipe", "--msize", "100"]).is_err());
    }
}
