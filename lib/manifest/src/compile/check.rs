//! What no single value can be blamed for: limits that do not fit each other, keys that are
//! missing, listeners that overlap, what a release may not say.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::problem::Problem;
use super::read::Lines;
use super::served::{self, SERVERS};
use crate::{Listener, ListenerKind, Manifest, NetworkMode, Profile, Target};

/// Bytes of a Twrite that are not data (spec 1.1).
const WRITE_OVERHEAD: u32 = 23;
/// What the door needs for one idle session.
const SESSION_KIB: u64 = 32;
/// Ports that an image listens on at most.
const PORTS_MAX: usize = 4;
/// Servers that keep files.
const KEEPERS: [&str; 2] = ["audit", "telemetry"];
/// What a journal in memory needs beside its records: snapshots, and the tables of its files.
const SNAPSHOTS_KIB: u64 = 512;
/// What its network's process needs beside buffers.
const NETWORK_KIB: u64 = 6 << 10;

pub(crate) fn check(manifest: &Manifest, lines: &Lines, problems: &mut Vec<Problem>) {
    let mut check = Check { manifest, lines, problems };
    check.servers();
    check.memory();
    check.records_fit_frames();
    check.shards();
    check.pairs();
    check.listeners();
    check.keys();
    check.audit();
    check.console();
    check.network();
    check.kept();
    check.resources();
    check.rules();
    if manifest.profile == Profile::Release {
        check.release();
    }
}

struct Check<'a> {
    manifest: &'a Manifest,
    lines: &'a Lines,
    problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn wrong(&mut self, key: &str, what: &str) {
        // What was refused for what it says is not missing as well.
        let said = format!("{key}: ");
        if what.starts_with("missing") && self.problems.iter().any(|problem| problem.what.starts_with(&said))
        {
            return;
        }
        self.problems.push(self.lines.problem(key, what));
    }

    fn servers(&mut self) {
        for served in SERVERS.iter().filter(|served| served.core) {
            if self.manifest.server(served.name).is_none() {
                self.wrong(&format!("servers.{}", served.name), "not enabled; a hive cannot be without it");
            }
        }
        for server in &self.manifest.servers {
            let key = format!("servers.{}", server.name);
            if !served::find(&server.name).is_some_and(|served| served.is_built()) {
                let built: Vec<&str> = SERVERS.iter().filter(|s| s.is_built()).map(|s| s.name).collect();
                self.wrong(&key, &format!("not part of this build; {} are", built.join(", ")));
            }
            let count = server.count;
            match server.name.as_str() {
                "door" => {}
                "worker" if count != self.manifest.telemetry.worker_servers => {
                    let servers = self.manifest.telemetry.worker_servers;
                    self.wrong(
                        &format!("{key}.count"),
                        &format!(
                            "{count} found; telemetry.worker_servers says {servers}: leave this key out"
                        ),
                    );
                }
                "worker" => {}
                _ if count != 1 => {
                    self.wrong(&format!("{key}.count"), &format!("{count} found; 1 allowed"));
                }
                _ => {}
            }
        }
        if self.manifest.roles.is_empty() {
            self.wrong("roles", "missing; name at least queen's bind file");
        }
    }

    fn memory(&mut self) {
        let of = |name: &str| {
            self.manifest.server(name).map_or(0, |server| {
                server.memory_kib.saturating_mul(server.count.into()).saturating_add(server.keep_kib)
            })
        };
        let all: u64 =
            self.manifest.servers.iter().map(|server| of(&server.name)).fold(0, u64::saturating_add);
        let (log, worker, door) = (of("log"), of("worker"), of("door"));
        let (hive, rings) = (self.manifest.hive.memory_kib, &self.manifest.log);
        if all > hive {
            self.wrong(
                "hive.memory_kib",
                &format!("{hive} found; the servers' memory_kib and keep_kib add up to {all}"),
            );
        }
        let streams = rings.ring_bytes.saturating_mul(rings.streams.len() as u64) >> 10;
        if self.manifest.server("log").is_some() && streams > log {
            self.wrong(
                "log.ring_bytes",
                &format!("{streams} KiB for all streams found; servers.log has {log} KiB"),
            );
        }
        let budget = self.manifest.telemetry.budget_bytes >> 10;
        if self.manifest.server("worker").is_some() && budget > worker {
            self.wrong(
                "telemetry.budget_bytes",
                &format!("{budget} KiB found; servers.worker has {worker} KiB"),
            );
        }
        let (sessions, doors) =
            (self.manifest.ninep.sessions, self.manifest.server("door").map_or(1, |s| s.count));
        let need = SESSION_KIB * u64::from(sessions) * u64::from(doors);
        if self.manifest.server("door").is_some() && need > door {
            self.wrong("ninep.sessions", &format!("{sessions} found; at {SESSION_KIB} KiB each that is {need} KiB, and servers.door has {door} KiB"));
        }
        if !self.manifest.log.streams.iter().any(|stream| stream == "queen.log") {
            self.wrong("log.streams", "no queen.log found; the hive's own log is among them");
        }
        let mut streams = self.manifest.log.streams.clone();
        streams.sort();
        if let Some(twice) = streams.windows(2).find(|pair| pair[0] == pair[1]) {
            self.wrong("log.streams", &format!("{:?} found twice", twice[0]));
        }
    }

    fn records_fit_frames(&mut self) {
        let msize = self.manifest.ninep.msize;
        let room = msize - WRITE_OVERHEAD;
        for (key, bytes) in [
            ("telemetry.record_bytes", self.manifest.telemetry.record_bytes),
            ("queen.ctl_line_bytes", self.manifest.queen.ctl_line_bytes),
        ] {
            if bytes > room {
                self.wrong(
                    key,
                    &format!("{bytes} found; a write holds {room} bytes with ninep.msize = {msize}"),
                );
            }
        }
        let (ring, record) = (self.manifest.telemetry.ring_bytes, self.manifest.telemetry.record_bytes);
        if u64::from(record) > ring {
            self.wrong("telemetry.record_bytes", &format!("{record} found; telemetry.ring_bytes is {ring}"));
        }
        let budget = self.manifest.telemetry.budget_bytes;
        if ring > budget {
            self.wrong("telemetry.ring_bytes", &format!("{ring} found; telemetry.budget_bytes is {budget}"));
        }
    }

    fn resources(&mut self) {
        let resources = &self.manifest.lease.resources;
        for (i, resource) in resources.iter().enumerate() {
            if resources[..i].iter().any(|other| other.id == resource.id) {
                self.wrong(&format!("lease.resources[{i}].id"), &format!("{:?} found twice", resource.id));
            }
        }
    }

    fn rules(&mut self) {
        let policy = &self.manifest.policy;
        if policy.rules.len() > policy.max_rules as usize {
            let found = policy.rules.len();
            let what = format!("{found} rules found; policy.max_rules allows {}", policy.max_rules);
            self.wrong("policy.rules", &what);
        }
        for (i, rule) in policy.rules.iter().enumerate() {
            if policy.rules[..i].iter().any(|other| other.id == rule.id) {
                self.wrong(&format!("policy.rules[{i}].id"), &format!("{:?} found twice", rule.id));
            }
            if let Err(why) = ns::Path::parse(&rule.target) {
                self.wrong(&format!("policy.rules[{i}].target"), &format!("{:?} found; {why}", rule.target));
            }
        }
    }

    fn shards(&mut self) {
        let telemetry = &self.manifest.telemetry;
        let (servers, most) = (telemetry.worker_servers, 1u32 << telemetry.shard_bits);
        if !servers.is_power_of_two() || servers > most {
            self.wrong(
                "telemetry.worker_servers",
                &format!(
                    "{servers} found; a power of two up to {most} allowed with shard_bits = {}",
                    telemetry.shard_bits
                ),
            );
        } else if servers > 1 && self.manifest.target != Target::Hosted {
            self.wrong(
                "telemetry.worker_servers",
                &format!("{servers} found; an image has one process of each server: 1 allowed"),
            );
        }
    }

    fn pairs(&mut self) {
        let (restart, client) = (&self.manifest.restart, &self.manifest.client);
        for (key, most, least) in [
            ("restart.backoff_max_ms", restart.backoff_max_ms, restart.backoff_ms),
            ("client.retry_backoff_max_ms", client.retry_backoff_max_ms, client.retry_backoff_ms),
        ] {
            if most < least {
                self.wrong(key, &format!("{most} found; the first wait is {least} already"));
            }
        }
    }

    fn listeners(&mut self) {
        if self.manifest.listeners.is_empty() {
            self.wrong("listeners", "missing; declare [[listeners]] kind = \"unix\", addr = \"door\"");
        }
        for (i, listener) in self.manifest.listeners.iter().enumerate() {
            let key = |name: &str| format!("listeners[{i}].{name}");
            if let Err(what) = listener.check() {
                self.wrong(&key("addr"), &what);
            }
            let tls = listener.kind == ListenerKind::Tls;
            for (name, given) in [("cert", listener.cert.is_some()), ("key", listener.key.is_some())] {
                if tls && !given {
                    self.wrong(&key(name), "missing; a tls listener needs cert and key");
                } else if !tls && given {
                    self.wrong(&key(name), &format!("found; a {} listener has none", listener.kind.word()));
                }
            }
            if listener.local_queen && listener.kind != ListenerKind::Unix {
                let what = "true found; only a unix listener knows its client's user";
                self.wrong(&key("local_queen"), what);
            }
            if listener.kind == ListenerKind::Unix && is_inits(&listener.addr) {
                let what = format!("{:?} found; init keeps a file of its own there", listener.addr);
                self.wrong(&key("addr"), &what);
            }
            for (j, other) in self.manifest.listeners[..i].iter().enumerate() {
                if overlap(listener, other) {
                    let what =
                        format!("{:?} found; listeners[{j}] has {:?} already", listener.addr, other.addr);
                    self.wrong(&key("addr"), &what);
                }
            }
        }
    }

    fn keys(&mut self) {
        let tickets = &self.manifest.tickets;
        if tickets.issuer.is_some() && tickets.keys.is_empty() {
            self.wrong("tickets.keys", "missing; tickets.issuer signs, and no public key is accepted: add [tickets.keys] ID = \"64 hex digits\"");
        }
        if self.manifest.profile == Profile::Release {
            if tickets.issuer.is_none() {
                self.wrong(
                    "tickets.issuer",
                    "missing; profile release makes no key: file:PATH or env:NAME allowed",
                );
            }
            if tickets.keys.is_empty() && tickets.issuer.is_none() {
                self.wrong(
                    "tickets.keys",
                    "missing; profile release makes no key: add [tickets.keys] ID = \"64 hex digits\"",
                );
            }
        }
    }

    fn audit(&mut self) {
        let audit = &self.manifest.audit;
        if audit.segment_bytes > audit.journal_bytes / 4 {
            let what = format!(
                "{} found; a quarter of audit.journal_bytes, {}, allowed",
                audit.segment_bytes,
                audit.journal_bytes / 4
            );
            self.wrong("audit.segment_bytes", &what);
        }
        // The states are folded from these: what is not in the journal is in none.
        let folded = |path: &&String| {
            let first = path.split('/').nth(1).unwrap_or_default();
            matches!(first, "*" | "queen" | "policy" | "actions")
        };
        if let Some(path) = audit.secrets.iter().find(folded) {
            let what = format!("{path:?} found; what is written below /queen, /policy and /actions is kept");
            self.wrong("audit.secrets", &what);
        }
        let is_release = self.manifest.profile == Profile::Release;
        if is_release && self.manifest.server("audit").is_some() && audit.key.is_none() {
            let what = "missing; profile release makes no key: file:PATH or env:NAME allowed";
            self.wrong("audit.key", what);
        }
    }

    fn console(&mut self) {
        let console = &self.manifest.console;
        let Some(addr) = &console.tcp else { return };
        match Listener::parse(&format!("tcp!{addr}")) {
            Err(error) => self.wrong("console.tcp", &format!("{error}")),
            Ok(console) => {
                let listeners = &self.manifest.listeners;
                if let Some(i) = listeners.iter().position(|listener| overlap(&console, listener)) {
                    let what = format!("{addr:?} found; listeners[{i}] has {:?} already", listeners[i].addr);
                    self.wrong("console.tcp", &what);
                }
            }
        }
        if self.manifest.server("console").is_none() {
            self.wrong("console.tcp", "found without its server; add [servers.console]");
        }
        if self.manifest.profile == Profile::Release && console.auth.is_none() {
            let what = "missing; profile release makes no token: file:PATH or env:NAME allowed";
            self.wrong("console.auth", what);
        }
    }

    /// A hosted hive has a disk, an image memory in its place.
    fn kept(&mut self) {
        let is_hosted = self.manifest.target == Target::Hosted;
        for server in &self.manifest.servers {
            let key = format!("servers.{}.keep_kib", server.name);
            let found = server.keep_kib;
            let needs = KEEPERS.contains(&server.name.as_str()) && !is_hosted;
            if !needs && found > 0 {
                let what = format!(
                    "{found} found; only audit and telemetry in an image keep files in memory: 0 allowed"
                );
                self.wrong(&key, &what);
            } else if needs && found == 0 {
                self.wrong(&key, "missing; an image has no disk, and the server's files need memory");
            } else if needs && server.name == "audit" {
                let audit = &self.manifest.audit;
                let needed = ((2 * audit.journal_bytes + audit.segment_bytes) >> 10) + SNAPSHOTS_KIB;
                if found < needed {
                    let what = format!(
                        "{found} found; {needed} needed for twice audit.journal_bytes, a segment and snapshots"
                    );
                    self.wrong(&key, &what);
                }
            }
        }
    }

    /// An image has the network that it is given, and no other machine's sockets.
    fn network(&mut self) {
        let network = &self.manifest.network;
        if network.mode != NetworkMode::Off && self.manifest.target == Target::Hosted {
            self.wrong("network.mode", "found; a hosted hive has its machine's network: off allowed");
        }
        for (key, is_given, is_one) in [
            ("network.address", network.address.is_some(), network.address().is_some()),
            ("network.gateway", network.gateway.is_some(), network.gateway().is_some()),
        ] {
            if is_given && !is_one {
                self.wrong(key, "not an IPv4 address; 10.0.2.15/24 and 10.0.2.2 are of the form");
            } else if is_given && network.mode == NetworkMode::Dhcp {
                self.wrong(key, "found beside dhcp, which finds it out");
            }
        }
        if network.mode == NetworkMode::Off {
            return;
        }
        if network.mode == NetworkMode::Static && network.address.is_none() {
            self.wrong("network.address", "missing; static needs ADDRESS/BITS");
        }
        if self.manifest.ports().count() > PORTS_MAX {
            self.wrong(
                "network.mode",
                &format!("more than {PORTS_MAX} ports; console.tcp and tcp listeners count"),
            );
        }
        for (i, listener) in self.manifest.listeners.iter().enumerate() {
            if listener.kind == ListenerKind::Tls {
                self.wrong(&format!("listeners[{i}].kind"), "tls found; an image has no TLS: tcp allowed");
            }
        }
        let buffers = u64::from(network.receive_bytes) + u64::from(network.send_bytes);
        let needs_kib = ((u64::from(network.sessions + network.half_open) * buffers) >> 10) + NETWORK_KIB;
        if needs_kib > network.memory_kib {
            let what = format!("{} found; {needs_kib} needed for that many connections", network.memory_kib);
            self.wrong("network.memory_kib", &what);
        }
    }

    fn release(&mut self) {
        if self.manifest.tickets.keys.contains_key("dev") {
            self.wrong("tickets.keys.dev", "a dev key found; profile release accepts none: name the key otherwise, and keep its secret off this machine");
        }
        let mut references: Vec<(String, &Option<String>)> = Vec::new();
        references.push(("tickets.issuer".into(), &self.manifest.tickets.issuer));
        references.push(("audit.key".into(), &self.manifest.audit.key));
        references.push(("console.auth".into(), &self.manifest.console.auth));
        for (i, listener) in self.manifest.listeners.iter().enumerate() {
            references.push((format!("listeners[{i}].cert"), &listener.cert));
            references.push((format!("listeners[{i}].key"), &listener.key));
        }
        for (key, reference) in references {
            if let Some(path) = reference.as_deref().and_then(|text| text.strip_prefix("file:"))
                && is_fixture(path)
            {
                self.wrong(
                    &key,
                    &format!(
                        "{path:?} found; profile release takes no key from a test's or a temporary directory"
                    ),
                );
            }
        }
        if self.manifest.server("audit").is_none() {
            let (key, found) = match self.lines.has("servers.audit") {
                true => ("servers.audit.enabled", "false found"),
                false => ("servers.audit", "missing"),
            };
            self.wrong(key, &format!("{found}; profile release keeps the audit on"));
        }
    }
}

/// Names in the run directory that init uses.
fn is_inits(addr: &str) -> bool {
    let first = addr.split('/').next().unwrap_or_default();
    matches!(
        first,
        "srv" | "ns" | "tables" | "lock" | "coh.log" | "console" | "client.toml" | "topology.json"
    ) || first.starts_with("manifest.")
}

fn overlap(a: &Listener, b: &Listener) -> bool {
    let wild = |host: &str| matches!(host, "0.0.0.0" | "::" | "[::]" | "*");
    match (a.host_port(), b.host_port()) {
        (Some((host, port)), Some((other, at))) => port == at && (host == other || wild(host) || wild(other)),
        (None, None) => a.addr == b.addr,
        _ => false,
    }
}

fn is_fixture(path: &str) -> bool {
    path.starts_with("/tmp/")
        || path.split('/').any(|part| matches!(part, "test" | "tests" | "testdata" | "fixture" | "fixtures"))
}
