//! What crosses crates: conformance, hostile clients, faults. Here: a hive for a test to use, of the
//! programs that cargo has built.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

pub mod ctl;
pub mod journal;
pub mod terminal;

use ninep::dial::{Addr, Conn, Credentials, DialError};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running hive; stopped when it goes.
pub struct Hive {
    dir: TempDir,
    manifest: PathBuf,
    /// What its programs have in their environment beside ours.
    env: Vec<(String, String)>,
    /// Where they begin.
    place: PathBuf,
}

/// The folder of the shipped manifest.
const SYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sys");

/// A program of the hive. They lie two above a test's own, where cargo puts them.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.exists(), "{} is not there; run: cargo build --workspace --bins", path.display());
    path
}

impl Hive {
    /// Starts the shipped manifest's hive; `options` are further ones of `coh up`.
    pub fn start(options: &[&str]) -> Hive {
        Hive::new().begin(options)
    }

    fn new() -> Hive {
        Hive {
            dir: tempfile::tempdir().unwrap(),
            manifest: Path::new(SYS).join("hive.toml"),
            env: Vec::new(),
            place: std::env::current_dir().unwrap(),
        }
    }

    /// Starts the shipped manifest's hive with `more` sections. `prepare` is told the data directory first.
    pub fn with_sections(more: &str, prepare: impl FnOnce(&Path)) -> Hive {
        Hive::edited(|shipped| format!("{shipped}\n{more}\n"), prepare)
    }

    /// Starts a hive with what `edit` makes of the shipped manifest.
    pub fn edited(edit: impl FnOnce(&str) -> String, prepare: impl FnOnce(&Path)) -> Hive {
        let mut hive = Hive::new();
        hive.configure(edit, &Path::new(SYS).join("../bind"));
        std::fs::create_dir(hive.path("data")).unwrap();
        prepare(&hive.path("data"));
        hive.begin(&[])
    }

    /// Starts a hive with what `edit` makes of the shipped manifest, and `binds` of each file of bind/.
    pub fn with_binds(edit: impl FnOnce(&str) -> String, binds: impl Fn(&str) -> String) -> Hive {
        let mut hive = Hive::new();
        let dir = hive.path("bind");
        std::fs::create_dir(&dir).unwrap();
        for file in std::fs::read_dir(Path::new(SYS).join("../bind")).unwrap() {
            let file = file.unwrap();
            let text = std::fs::read_to_string(file.path()).unwrap();
            std::fs::write(dir.join(file.file_name()), binds(&text)).unwrap();
        }
        hive.configure(edit, &dir);
        hive.begin(&[])
    }

    fn configure(&mut self, edit: impl FnOnce(&str) -> String, binds: &Path) {
        let edited = edit(&std::fs::read_to_string(&self.manifest).unwrap());
        self.manifest = self.path("hive.toml");
        let text = format!("{edited}\n[namespaces]\ndir = \"{}\"\n", binds.display());
        std::fs::write(&self.manifest, text).unwrap();
    }

    /// Starts a hive with what another, which is down, has in its data directory: as on another machine, with
    /// `env` in its environment, from the root directory.
    pub fn moved(other: &Hive, env: &[(&str, &str)]) -> Hive {
        let mut hive = Hive::new();
        hive.manifest = hive.path("hive.toml");
        std::fs::copy(&other.manifest, &hive.manifest).unwrap();
        let (from, to) = (other.path("data"), hive.path("data"));
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
        hive.env = env.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        hive.place = "/".into();
        hive.begin(&[])
    }

    /// The same with a mount at `n`.
    pub fn mounted() -> Hive {
        let hive = Hive::new();
        let n = hive.path("n").display().to_string();
        hive.begin(&["--mount", &n])
    }

    fn begin(self, options: &[&str]) -> Hive {
        let up = self.up(options);
        assert!(up.status.success(), "coh up: {}", String::from_utf8_lossy(&up.stderr));
        self
    }

    /// `coh up -d` with this hive's directories.
    pub fn up(&self, options: &[&str]) -> Output {
        let manifest = self.manifest.to_str().unwrap();
        self.program("coh", &[&["up", "-d", "--manifest", manifest], options].concat())
    }

    /// A path in the hive's own directory: `run`, `data`, `n`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The local door.
    pub fn door(&self) -> PathBuf {
        self.path("run/door")
    }

    /// A session of the local queen.
    pub fn dial(&self) -> Result<Conn, DialError> {
        self.dial_as("", "")
    }

    /// A session at the local door with a ticket.
    pub fn dial_as(&self, role: &str, ticket: &str) -> Result<Conn, DialError> {
        let who = Credentials { role: role.into(), ticket: ticket.into(), ..Credentials::default() };
        Conn::dial(&Addr::Unix(self.door()), &who)
    }

    /// A file's text, in a session of its own.
    pub fn read(&self, path: &str) -> Result<String, DialError> {
        Ok(String::from_utf8_lossy(&self.dial()?.read_all(path)?).into_owned())
    }

    /// Writes commands to a ctl, in a session of its own; the acknowledgements.
    pub fn command(&self, path: &str, lines: &str) -> Result<String, DialError> {
        let mut conn = self.dial()?;
        let fid = conn.open_path(path, 2)?;
        conn.write_at(fid, 0, lines.as_bytes())?;
        Ok(String::from_utf8_lossy(&conn.read_at(fid, 0, 4096)?).into_owned())
    }

    /// Runs a program with the hive in its environment.
    pub fn program(&self, name: &str, args: &[&str]) -> Output {
        Command::new(program(name))
            .args(args)
            .env("COH_RUN", self.path("run"))
            .env("COH_DATA", self.path("data"))
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .current_dir(&self.place)
            .output()
            .unwrap()
    }

    /// Runs `coh`.
    pub fn coh(&self, args: &[&str]) -> Output {
        self.program("coh", args)
    }

    /// What a program prints that must succeed.
    pub fn print(&self, name: &str, args: &[&str]) -> String {
        let output = self.program(name, args);
        assert!(output.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A field of a server's or worker's line in `coh status`.
    pub fn field(&self, name: &str, key: &str) -> String {
        let status = self.print("coh", &["status"]);
        let line = status.lines().find(|line| line.split(' ').next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {status}"));
        let value = line.split(' ').find_map(|field| field.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no {key} in {line}")).to_owned()
    }

    /// The process ids of init, the servers and the workers.
    pub fn pids(&self) -> Vec<i32> {
        let status = self.print("coh", &["status"]);
        let fields = status.split_whitespace().filter_map(|field| field.strip_prefix("pid="));
        fields.map(|pid| pid.parse().unwrap()).collect()
    }

    /// Kills a server; how long it took until it was up again.
    pub fn kill(&self, server: &str) -> Duration {
        let restarts = || self.field(server, "restarts").parse::<u32>().unwrap();
        let before = restarts();
        let start = Instant::now();
        self.print("coh", &["kill", server]);
        until("it is up again", || restarts() > before && self.field(server, "state") == "up");
        start.elapsed()
    }
}

impl Drop for Hive {
    fn drop(&mut self) {
        let down = self.coh(&["down"]);
        assert!(down.status.success() || std::thread::panicking());
    }
}

/// The shipped manifest, with so many doors.
pub fn with_doors(shipped: &str, count: u32) -> String {
    let doors = format!("[servers.door]\ncount = {count}\nmemory_kib = 65_536\n");
    shipped.replace("[servers.door]\n", &doors).replace("sessions = 16384", "sessions = 1024")
}

/// Waits for something to hold, ten seconds at most.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < until, "{what}: not within ten seconds");
        std::thread::sleep(Duration::from_millis(20));
    }
}
