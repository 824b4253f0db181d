//! What is written from a resolved manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::json;

use super::client::ClientConfig;
use super::image;
use super::served;
use super::tables;
use crate::{Fingerprint, Manifest};

pub(crate) fn files(manifest: &Manifest, fingerprint: Fingerprint) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    files.insert("manifest.cbor".to_string(), manifest.to_cbor());
    files.insert("manifest.json".to_string(), json_text(&serde_json::to_value(manifest)).into_bytes());
    files.insert("manifest.sha256".to_string(), format!("{fingerprint}  manifest.cbor\n").into_bytes());
    files.insert("client.toml".to_string(), ClientConfig::of(manifest, fingerprint).text().into_bytes());
    files.insert("topology.json".to_string(), topology(manifest, fingerprint).into_bytes());
    files.insert("topology".to_string(), image::topology(manifest).into_bytes());
    for (role, text) in &manifest.namespaces {
        files.insert(format!("ns/{role}"), text.clone().into_bytes());
    }
    for (name, text) in tables::of(manifest) {
        files.insert(format!("tables/{name}.mdoc"), text.into_bytes());
    }
    files
}

/// Who may talk to whom: one channel per pair, with the roots that go through it. Doors reach what clients
/// may see, and what other doors have of it; a server, another's internal root; init asks each whether it
/// answers.
pub(crate) fn channels(manifest: &Manifest) -> BTreeMap<(&str, &str), BTreeSet<&str>> {
    let mut channels: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let enabled = |name: &str| name == "init" || manifest.server(name).is_some();
    for server in &manifest.servers {
        let Some(served) = served::find(&server.name) else { continue };
        channels.entry(("init", served.name)).or_default().insert("");
        for root in served.roots {
            // The door's own files never leave its process.
            if served.name != "door" {
                channels.entry(("door", served.name)).or_default().insert(root.name);
            }
        }
        for (to, root) in served.talks_to.iter().filter(|(to, _)| enabled(to)) {
            channels.entry((served.name, to)).or_default().insert(root);
        }
    }
    for (to, root) in [("log", "sink"), ("queen", "in")] {
        if enabled(to) {
            channels.entry(("init", to)).or_default().insert(root);
        }
    }
    if manifest.server("door").is_some_and(|door| door.count > 1) {
        channels.insert(("door", "door"), BTreeSet::from(["9p", "ctl"]));
    }
    channels
}

/// The same between processes: a server may have several.
fn topology(manifest: &Manifest, fingerprint: Fingerprint) -> String {
    let channels = channels(manifest);
    let processes = |name: &str| match manifest.server(name) {
        Some(server) => server.processes().collect(),
        None => Vec::from([name.to_string()]),
    };
    let mut pairs = BTreeMap::new();
    for ((from, to), roots) in &channels {
        for from in processes(from) {
            let others = processes(to).into_iter().filter(|to| *to != from);
            pairs.extend(others.map(|to| ((from.clone(), to), roots)));
        }
    }
    let channels: Vec<serde_json::Value> =
        pairs.iter().map(|((from, to), roots)| json!({ "from": from, "to": to, "roots": roots })).collect();
    let servers: Vec<serde_json::Value> = manifest
        .servers
        .iter()
        .map(|server| json!({ "name": server.name, "program": server.program, "count": server.count }))
        .collect();
    json_text(&Ok(json!({
        "channels": channels,
        "manifest": fingerprint.to_string(),
        "servers": servers,
    })))
}

/// Sorted keys, two spaces, a newline at the end.
fn json_text(value: &Result<serde_json::Value, serde_json::Error>) -> String {
    let mut text = String::new();
    if let Ok(value) = value {
        print(value, 0, &mut text);
    }
    text.push('\n');
    text
}

/// By hand, because whether serde_json's maps are sorted is up to any crate of the build that
/// switches its `preserve_order` on.
fn print(value: &serde_json::Value, depth: usize, out: &mut String) {
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    match value {
        serde_json::Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                line(out, depth + 1);
                print(item, depth + 1, out);
            }
            line(out, depth);
            out.push(']');
        }
        serde_json::Value::Object(members) if !members.is_empty() => {
            let members: BTreeMap<_, _> = members.iter().collect();
            out.push('{');
            for (i, (name, member)) in members.into_iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                line(out, depth + 1);
                print(&serde_json::Value::String(name.clone()), depth + 1, out);
                out.push_str(": ");
                print(member, depth + 1, out);
            }
            line(out, depth);
            out.push('}');
        }
        leaf => out.push_str(&leaf.to_string()),
    }
}
