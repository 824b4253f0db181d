//! Tables for manual pages, in mdoc, and putting them between their markers.
//!
//! A page has `.\" BEGIN generated: NAME` and `.\" END generated`, each a line of its own; what
//! stands between is replaced by the table of that name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::format;
use std::string::{String, ToString};

use super::keys::{Absent, KEYS, Key, is_wildcard};
use super::served::SERVERS;
use crate::Manifest;

const BEGIN: &str = ".\\\" BEGIN generated: ";
const END: &str = ".\\\" END generated";

/// All tables by name. Those of keys and servers are the same for every manifest.
pub fn of(manifest: &Manifest) -> BTreeMap<String, String> {
    let mut tables = BTreeMap::new();
    tables.insert("manifest-keys".to_string(), sections());
    tables.insert("ninep-limits".to_string(), keys("ninep."));
    tables.insert("ticket-bounds".to_string(), keys("tickets."));
    tables.insert("client-policy".to_string(), keys("client."));
    tables.insert("telemetry-limits".to_string(), keys("telemetry."));
    tables.insert("servers".to_string(), servers());
    tables.insert("proc-tree".to_string(), proc_tree(manifest));
    for (role, text) in &manifest.namespaces {
        tables.insert(format!("role-{role}"), literal(text));
    }
    tables
}

/// What a page is with its tables replaced, or a sentence on why it cannot be.
pub fn refresh(page: &str, tables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut inside: Option<&str> = None;
    for (i, line) in page.lines().enumerate() {
        let number = i + 1;
        if let Some(name) = line.strip_prefix(BEGIN) {
            if let Some(open) = inside {
                return Err(format!("line {number}: {name} begins within {open}"));
            }
            let Some(table) = tables.get(name) else {
                let known: std::vec::Vec<&str> = tables.keys().map(String::as_str).collect();
                return Err(format!("line {number}: no table {name}; there are {}", known.join(", ")));
            };
            let _ = writeln!(out, "{line}\n{}", table.trim_end_matches('\n'));
            inside = Some(name);
        } else if line == END {
            if inside.take().is_none() {
                return Err(format!("line {number}: {END} without a beginning"));
            }
            let _ = writeln!(out, "{line}");
        } else if inside.is_none() {
            let _ = writeln!(out, "{line}");
        }
    }
    match inside {
        Some(name) => Err(format!("{name} has no end: write {END}")),
        None => Ok(out),
    }
}

/// A key for a terminal: what it means, what it may be, what it is when absent.
pub fn explain(key: &Key) -> String {
    format!("{}\n\t{}\n\tallowed: {}\n\tdefault: {}\n", key.path, key.doc, key.allowed, key.absent)
}

/// All of [`KEYS`], a subsection per section.
fn sections() -> String {
    let mut out = String::new();
    let mut section = None;
    for key in KEYS {
        let here = key.path.rsplit_once('.').map_or("", |(section, _)| section);
        if section != Some(here) {
            if section.is_some() {
                out.push_str(".El\n");
            }
            let _ = writeln!(out, ".Ss {}", heading(here));
            out.push_str(".Bl -tag -width Ds\n");
            section = Some(here);
        }
        item(&mut out, key, last(key.path));
    }
    out.push_str(".El\n");
    out
}

fn keys(prefix: &str) -> String {
    let mut out = String::from(".Bl -tag -width Ds\n");
    for key in KEYS.iter().filter(|key| key.path.starts_with(prefix)) {
        item(&mut out, key, key.path);
    }
    out.push_str(".El\n");
    out
}

fn heading(section: &str) -> String {
    match section {
        "" => "Top level".to_string(),
        array if array.ends_with("[]") => format!("[[{}]]", array.trim_end_matches("[]")),
        section => format!("[{section}]"),
    }
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn item(out: &mut String, key: &Key, name: &str) {
    let macro_name = if is_wildcard(name) { ".It Ar" } else { ".It Cm" };
    let default = match key.absent {
        Absent::Refused => "no default".to_string(),
        Absent::None => "default none".to_string(),
        Absent::ByServer => "default by server".to_string(),
        absent => format!("default {}", escape(&absent.to_string())),
    };
    let _ = writeln!(out, "{macro_name} {}", escape(name));
    let _ = writeln!(out, "{}.", escape(&capital(key.doc)));
    let _ = writeln!(out, "Allowed: {}; {default}.", escape(&key.allowed.to_string()));
}

fn capital(text: &str) -> String {
    // A phrase that begins with a word of the format keeps it as it is.
    let first = text.split(' ').next().unwrap_or_default();
    if matches!(first, "unix:" | "false:" | "tls" | "unix" | "release") {
        return text.to_string();
    }
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Servers of this build: name, program, specs, defaults.
fn servers() -> String {
    let mut out = String::from(".Bl -tag -width Ds\n");
    for served in SERVERS.iter().filter(|served| served.is_built()) {
        let specs: std::vec::Vec<String> = served
            .roots
            .iter()
            .map(|root| if root.name.is_empty() { "its main tree".to_string() } else { escape(root.name) })
            .collect();
        let _ = writeln!(out, ".It Cm {}", served.name);
        let _ = writeln!(out, "{}; program", escape(&capital(served.doc)));
        let _ = writeln!(out, ".Xr {} 4 .", served.program);
        let specs = if specs.is_empty() { "no files".to_string() } else { specs.join(", ") };
        let _ = writeln!(out, "Serves {specs}.");
        let required = if served.required { "required" } else { "not required" };
        let _ = writeln!(out, "Default: {required}, {} KiB.", served.memory_kib);
    }
    let later: std::vec::Vec<&str> = SERVERS.iter().filter(|s| !s.is_built()).map(|s| s.name).collect();
    let _ = writeln!(out, ".El\n.Pp\nKnown, but not part of this build:\n{}.", later.join(", "));
    out
}

/// What the queen sees under /proc, and whose it is.
fn proc_tree(manifest: &Manifest) -> String {
    let mut out = String::from(".Bl -tag -width Ds -compact\n");
    let vars = ns::Vars { subject: Some("$subject"), shard: Some("$shard") };
    let table = manifest.namespace("queen").and_then(|text| ns::Table::parse(text, &vars).ok());
    for entry in table.iter().flat_map(ns::Table::entries) {
        if let ns::Entry::Mount { ro, server, old, spec } = entry
            && old.starts_with("/proc")
        {
            let what = if spec.is_empty() { String::new() } else { format!(" [{spec}]") };
            let flag = if ro { ", read-only" } else { "" };
            let _ = writeln!(out, ".It Pa {}\n{server}{what}{flag}", escape(old));
        }
    }
    out.push_str(".El\n");
    out
}

fn literal(text: &str) -> String {
    let mut out = String::from(".Bd -literal -offset indent\n");
    for line in text.lines() {
        let _ = writeln!(out, "{}", escape(line));
    }
    out.push_str(".Ed\n");
    out
}

/// Text that mdoc takes as it is.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
