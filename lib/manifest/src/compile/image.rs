//! The topology as the seL4 image's root task reads it: a line a process, a line a channel. The format is said
//! in kern/root/src/topology.rs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::string::String;
use std::vec::Vec;

use super::output::channels;
use crate::{Manifest, NetworkMode, Service};

/// Memory of init and of the self-test, and of a worker.
const PART_KIB: u64 = 4096;
const WORKER_KIB: u64 = 4096;
/// Workers that an image has room for.
const WORKERS_MAX: u32 = 8;

/// Who does what the hosted hive's init does.
const INIT: &str = "init";
/// Who has the network.
const NET: &str = "net";

pub(crate) fn topology(manifest: &Manifest) -> String {
    let mut out = String::new();
    let restart = &manifest.restart;
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "restart {} {} {} {}",
        restart.backoff_ms, restart.backoff_max_ms, restart.deaths, restart.window_s
    );
    let _ = writeln!(out, "part pong pong {PART_KIB} 1 -\npart {INIT} {INIT} {PART_KIB} 0 -");
    for (i, server) in manifest.servers.iter().enumerate() {
        let core = server.affinity.first().map_or(i as u64, |core| u64::from(*core));
        let secret = secret(manifest, &server.name);
        let (name, program, memory) = (&server.name, &server.program, server.memory_kib);
        let _ = writeln!(out, "server {name} {program} {memory} {core} {secret}");
        if server.keep_kib > 0 {
            let _ = writeln!(out, "keep {name} {}", server.keep_kib);
        }
    }
    let workers = workers(manifest);
    for (n, program) in workers.iter().enumerate() {
        let _ = writeln!(out, "worker {} {program} {WORKER_KIB} {n} -", name(n));
    }

    let _ = writeln!(out, "channel root pong lines\nchannel root {INIT} lines");
    let network = &manifest.network;
    let has_network = network.mode != NetworkMode::Off;
    if has_network {
        let core = network.affinity.first().copied().unwrap_or(0);
        let _ = writeln!(out, "server {NET} {NET} {} {core} -", network.memory_kib);
    }

    let has = |name: &str| manifest.server(name).is_some();
    let channels = channels(manifest);
    for ((from, to), roots) in &channels {
        // What the door asks for itself goes apart from what its clients ask.
        let for_clients = *from == "door" && roots.iter().any(|root| !is_internal(to, root));
        let own = *from != "door" || roots.iter().any(|root| is_internal(to, root));
        for (_, word) in [(own, "ask"), (for_clients, "route")].iter().filter(|(is, _)| *is) {
            let _ = writeln!(out, "channel {from} {to} {word}");
        }
    }
    // Every server tells the trace what it does, and is told of what there is to tell.
    let traced = manifest.servers.iter().filter(|server| server.name != "trace" && has("trace"));
    for server in traced {
        let _ = writeln!(out, "channel {} trace ask", server.name);
        // Whom it asks for itself it tells on the same channel.
        if !channels.contains_key(&("trace", server.name.as_str())) {
            let _ = writeln!(out, "channel trace {} ask", server.name);
        }
    }
    if has("console") {
        let _ = writeln!(out, "channel root console lines\nchannel console door many");
    }
    if has_network {
        let _ = writeln!(out, "channel root {NET} lines\ndevice {NET} {}", network.nic.word());
        let services: BTreeSet<&str> = manifest.ports().map(|(service, _)| server_of(service)).collect();
        for server in services.into_iter().filter(|server| has(server)) {
            let _ = writeln!(out, "channel {NET} {server} many");
        }
    }
    for n in 0..workers.len() {
        let _ = writeln!(out, "channel {INIT} {} lines\nchannel {} door enter", name(n), name(n));
    }
    out
}

/// Who serves what comes in over the network.
fn server_of(service: Service) -> &'static str {
    match service {
        Service::Console => "console",
        Service::Ninep | Service::Compat => "door",
    }
}

/// Whether servers only ask for that root.
fn is_internal(server: &str, root: &str) -> bool {
    super::served::find(server).is_some_and(|served| served.roots.iter().all(|known| known.name != root))
}

/// The program of each place for a worker: those of the manifest in turn.
fn workers(manifest: &Manifest) -> Vec<&str> {
    let programs = manifest.workers.programs.values();
    let count = manifest.queen.max_workers.min(WORKERS_MAX) as usize;
    programs
        .map(String::as_str)
        .cycle()
        .take(if manifest.workers.programs.is_empty() { 0 } else { count })
        .collect()
}

fn name(n: usize) -> String {
    std::format!("place-{}", n + 1)
}

/// The file that a server alone is given: the last part of its reference's path.
fn secret<'m>(manifest: &'m Manifest, server: &str) -> &'m str {
    let reference = match server {
        "queen" => manifest.tickets.issuer.as_deref().unwrap_or("file:issuer.key"),
        "audit" => manifest.audit.key.as_deref().unwrap_or("file:audit.key"),
        "console" if manifest.console.tcp.is_some() => {
            manifest.console.auth.as_deref().unwrap_or("file:console.token")
        }
        _ => return "-",
    };
    reference.strip_prefix("file:").and_then(|path| path.rsplit('/').next()).unwrap_or("-")
}
