//! `coh up`: the boot, read aloud.

use crate::init::{Init, Plan};
use crate::lock::{self, Holder, Outcome};
use crate::probe::{self, Probe};
use crate::program::{self, Program};
use crate::trouble::{Trouble, at};
use crate::{key, leftovers, place};
use manifest::{Additions, Compiled, Listener, ListenerKind, Manifest, Profile};
use rt::{Boot, Host, Poll, Signals, Wish};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What to start, and where.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Detach once ready; messages go to RUN/coh.log
    #[arg(short)]
    pub(crate) detach: bool,
    /// The manifest (sys/hive.toml), or one that coh-rtc compiled
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Run directory ($COH_RUN, $XDG_RUNTIME_DIR/coh, /tmp/coh-UID)
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,
    /// Data directory ($COH_DATA, $XDG_STATE_HOME/coh, ~/.local/state/coh)
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Mount the hive there as well
    #[arg(long, value_name = "DIR")]
    pub(crate) mount: Option<PathBuf>,
    /// Listen there too, for our own clients: tcp!127.0.0.1!5640
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,
    /// Listen there too, for foreign clients: tcp!127.0.0.1!5641
    #[arg(long, value_name = "ADDR")]
    pub(crate) compat: Vec<String>,
    /// A TCP console there: tcp!127.0.0.1!31337
    #[arg(long, value_name = "ADDR")]
    pub(crate) console: Option<String>,
    /// What -d starts in the background
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

const SIGNAL: u64 = 0;
const DOOR: u64 = 1;
const HUP: i32 = 1;
const INT: i32 = 2;
const TERM: i32 = 15;
const CHLD: i32 = 17;

/// Runs a hive in this process until it is told to end.
pub(crate) fn up(options: Options) -> Result<(), Trouble> {
    let started = rt::now();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // No core dumps: keys and tickets pass through here.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(at("prctl"))?;
    let run = place::run(options.run)?;
    place::private(&run)?;
    let lock = match lock::take(&run, started.wall_ms)? {
        Outcome::Had(lock) => lock,
        Outcome::Held(holder) => return Err(Holder::refusal(holder, &run)),
    };
    leftovers::clear(&run);
    let data = place::data(options.data)?;
    place::private(&data)?;
    let console = options.console.as_deref().map(console_addr).transpose()?;
    let compiled = load(options.manifest, &options.listen, &options.compat, console, &data)?;
    let mount = options.mount.as_deref().map(place::absolute).transpose()?;
    let mut made = None;
    if let Some(dir) = &mount
        && leftovers::mount_point(&run, dir)?
    {
        made = Some(dir.clone());
    }
    place::private(&run.join("srv"))?;
    compiled.write(&run).map_err(|error| Trouble(error.to_string()))?;
    // For cohticket, which looks for the issuer's key.
    std::fs::write(run.join("data"), format!("{}\n", data.display())).map_err(at(&run))?;

    let mut written = compiled.files.keys().cloned().collect::<Vec<_>>();
    // The second a background mount's notes, where it has taken any.
    written.extend(["data".into(), "mount.log".into()]);
    let plan = plan(&compiled, &run, &data, mount)?;
    let boot = Boot { name: "init", index: 0, run: run.clone(), data, manifest: compiled.manifest };
    // Every path is absolute by now: where this was started may be unmounted.
    let _ = std::env::set_current_dir("/");
    raise_file_limit();
    let outcome = live(&boot, Init::new(plan, started));
    leftovers::clear(&run);
    leftovers::remove(&run, &written);
    // Each goes only when nothing else is in it.
    made.into_iter().for_each(|dir| drop(std::fs::remove_dir(dir)));
    drop(lock);
    let _ = std::fs::remove_dir(&run);
    outcome
}

/// As many open files as the system lets this user have, for init's children: a door has one for each
/// session, and the usual 1024 are for programs that use select(2).
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is not allowed, the door refuses sessions sooner.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Compiles the manifest, with what the command line adds; the dev profile has a key of its own.
fn load(
    path: Option<PathBuf>,
    listen: &[String],
    compat: &[String],
    console: Option<String>,
    data: &Path,
) -> Result<Compiled, Trouble> {
    let path = place::manifest(path)?;
    let parse = |dial: &String| Listener::parse(dial).map_err(|error| Trouble(error.to_string()));
    let mut additions = Additions { console, ..Additions::default() };
    for dial in listen {
        additions.listeners.push(parse(dial)?);
    }
    for dial in compat {
        additions.listeners.push(parse(dial)?.compat());
    }
    let is_compiled = path.extension().is_some_and(|extension| extension == "cbor");
    let plain = if is_compiled { read(&path)? } else { compile(&path, &Additions::default())?.manifest };
    if plain.profile == Profile::Dev && plain.tickets.issuer.is_none() {
        additions.keys.insert("dev".into(), key::dev(&data.join("issuer.key"), key::Use::Issuer)?);
    }
    if plain.profile == Profile::Dev && plain.server("audit").is_some() && plain.audit.key.is_none() {
        // Its public half is the audit server's to show.
        key::dev(&data.join("audit.key"), key::Use::Audit)?;
    }
    let has_console = plain.console.tcp.is_some() || additions.console.is_some();
    if plain.profile == Profile::Dev && has_console && plain.console.auth.is_none() {
        key::token(&data.join("console.token"))?;
    }
    if !is_compiled {
        return compile(&path, &additions);
    }
    let mut manifest = plain;
    if additions.console.is_some() {
        if manifest.server("console").is_none() {
            return Err(Trouble("--console: the manifest has no [servers.console]".into()));
        }
        manifest.console.tcp = additions.console;
    }
    manifest.listeners.extend(additions.listeners);
    manifest.tickets.keys.extend(additions.keys);
    Ok(Compiled::of(manifest))
}

/// `HOST!PORT` of a console's `tcp!HOST!PORT`.
fn console_addr(dial: &str) -> Result<String, Trouble> {
    let said = |what: &dyn ToString| Trouble(format!("--console {}", what.to_string()));
    let listener = Listener::parse(dial).map_err(|error| said(&error))?;
    match listener.kind {
        ListenerKind::Tcp => Ok(listener.addr),
        _ => Err(said(&format!("{dial}: tcp!HOST!PORT is wanted; there is one at RUN/console anyway"))),
    }
}

/// What coh-rtc has written: it passed every check then.
fn read(path: &Path) -> Result<Manifest, Trouble> {
    let bytes = std::fs::read(path).map_err(at(path))?;
    Manifest::from_cbor(&bytes).map_err(at(path))
}

fn compile(path: &Path, additions: &Additions) -> Result<Compiled, Trouble> {
    manifest::compile_with(path, additions).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Trouble(format!("the manifest is refused:\n{}", lines.join("\n")))
    })
}

fn plan(compiled: &Compiled, run: &Path, data: &Path, mount: Option<PathBuf>) -> Result<Plan, Trouble> {
    let manifest = &compiled.manifest;
    let exe = std::env::current_exe().map_err(at("/proc/self/exe"))?;
    let bin = exe.parent().unwrap_or(Path::new("/")).to_path_buf();
    let mut servers = Vec::new();
    for server in &manifest.servers {
        for (index, name) in server.processes().enumerate() {
            let mut args = ["--run".into(), run.into(), "--data".into(), data.into()].to_vec();
            if index > 0 {
                args.extend(["--index".into(), index.to_string().into()]);
            }
            let env = if index == 0 { environment(manifest, &server.name) } else { Vec::new() };
            let affinity = server.affinity.clone();
            // One allocation a process for the life of init: names are as good as static.
            servers.push((&*name.leak(), Program { path: bin.join(&server.program), args, env, affinity }));
        }
    }
    let text = run.to_string_lossy();
    let local = manifest.listeners.iter().find(|l| l.kind == ListenerKind::Unix && l.local_queen);
    let door = local.or(manifest.listeners.first()).map(|listener| listener.dial_string(&text));
    let mount = mount.map(|dir| {
        let door = format!("unix!{}", run.join("door").display());
        let args = vec!["--door".into(), door.into(), "--foreground".into(), dir.clone().into()];
        (Program { path: bin.join("coh-mount"), args, env: Vec::new(), affinity: Vec::new() }, dir)
    });
    Ok(Plan {
        hive: manifest.hive.name.clone(),
        profile: format!("{:?}", manifest.profile).to_lowercase(),
        fingerprint: compiled.fingerprint.short(),
        door: door.unwrap_or_default(),
        local_door: local.map(|listener| run.join(&listener.addr)),
        servers,
        mount,
        bin,
        worker_programs: manifest.workers.programs.values().cloned().collect(),
        workers_max: manifest.queen.max_workers as usize,
        pools_workers: manifest.workers.run == manifest::WorkersRun::Pool,
        restart: manifest.restart.clone(),
    })
}

/// The variables that the manifest refers to, for the server that needs them.
fn environment(manifest: &Manifest, server: &str) -> Vec<(String, OsString)> {
    let references: Vec<&String> = match server {
        "queen" => manifest.tickets.issuer.iter().collect(),
        "audit" => manifest.audit.key.iter().collect(),
        "console" => manifest.console.auth.iter().collect(),
        "door" => manifest.listeners.iter().flat_map(|l| [&l.key, &l.cert]).flatten().collect(),
        _ => Vec::new(),
    };
    let names = references.into_iter().filter_map(|reference| reference.strip_prefix("env:"));
    names.filter_map(|name| Some((name.to_owned(), std::env::var_os(name)?))).collect()
}

/// The loop: children, signals, the hive's own files, until everything has ended.
fn live(boot: &Boot, init: Init) -> Result<(), Trouble> {
    let said = at::<std::io::Error>(boot.socket("init"));
    let run = || -> std::io::Result<Option<String>> {
        let mut poll = Poll::new()?;
        let mut signals = Signals::new(&[CHLD, TERM, INT, HUP])?;
        for fd in signals.fds() {
            poll.add(fd, SIGNAL, Wish::Read)?;
        }
        let mut host = Host::new(boot, initfs::tree(init), &poll)?;
        let mut door: Option<Probe> = None;
        let mut events = Vec::new();
        loop {
            let now = rt::now();
            if let Some(path) = host.engine.tree.state.door_to_ask(now) {
                door = Probe::start(&path, &poll, DOOR).ok();
                if door.is_none() {
                    host.engine.tree.state.door_answered(false, now);
                }
            }
            host.turn(&poll, now);
            let init = &mut host.engine.tree.state;
            if let Some(line) = init.take_ready() {
                let mut out = std::io::stdout();
                // Nobody may be listening; the hive is up all the same.
                let _ = writeln!(out, "{line}").and_then(|()| out.flush());
            }
            if init.is_closed() {
                return Ok(init.failure().map(str::to_owned));
            }
            poll.wait(host.deadline_ms(), now, &mut events)?;
            let now = rt::now();
            for event in events.drain(..) {
                let init = &mut host.engine.tree.state;
                match event.token {
                    SIGNAL => {
                        for signal in signals.take() {
                            match signal {
                                CHLD => {
                                    while let Some((pid, how)) = program::reap() {
                                        init.reaped(pid, &how, now);
                                    }
                                }
                                INT => init.close("SIGINT", now),
                                HUP => init.close("SIGHUP", now),
                                _ => init.close("SIGTERM", now),
                            }
                        }
                    }
                    DOOR => {
                        let outcome = door.as_mut().map_or(probe::Outcome::Waiting, Probe::event);
                        if outcome != probe::Outcome::Waiting {
                            door = None;
                            init.door_answered(outcome == probe::Outcome::Welcome, now);
                        }
                    }
                    _ => {
                        host.event(&poll, event, now);
                    }
                }
            }
        }
    };
    match run().map_err(said)? {
        None => Ok(()),
        Some(failure) => Err(Trouble(failure)),
    }
}
