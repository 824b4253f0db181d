//! The roles' name spaces: bind/ files read, checked against what is served and what a role may
//! reach, and resolved.

use std::format;
use std::fs;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use ns::{Entry, Template, Vars};

use super::problem::Problem;
use super::read::Lines;
use super::served::{self, Names, SERVERS, Served};
use crate::Manifest;

/// `$subject` and `$shard` stand for themselves: checks see where a session's own would be.
const VARS: Vars<'static> = Vars { subject: Some("$subject"), shard: Some("$shard") };

pub(crate) fn resolve(manifest: &mut Manifest, dir: &Path, lines: &Lines, problems: &mut Vec<Problem>) {
    for (role, file) in manifest.roles.clone() {
        let mut read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let resolved = Template::load(&file, &mut read).and_then(|template| {
            let found = check(manifest, &role, dir, &template)?;
            let enabled = template.enabled(&|server| manifest.server(server).is_some())?;
            Ok((found, enabled.to_string()))
        });
        match resolved {
            Ok((found, text)) => {
                problems.extend(found);
                manifest.namespaces.insert(role, text);
            }
            // The role's own file is not there: the manifest is at fault.
            Err(error) if error.line == 0 => {
                problems.push(lines.problem(&format!("roles.{role}"), &error.what));
            }
            Err(error) => {
                let file = dir.join(error.file).display().to_string();
                problems.push(Problem { file, line: error.line, what: error.what });
            }
        }
    }
}

fn check(
    manifest: &Manifest,
    role: &str,
    dir: &Path,
    template: &Template,
) -> Result<Vec<Problem>, ns::Error> {
    let table = template.expand(&VARS)?;
    let mut problems = Vec::new();
    for (entry, (file, line, text)) in table.entries().zip(template.lines()) {
        let mut wrong = |what: String| {
            problems.push(Problem { file: dir.join(file).display().to_string(), line, what });
        };
        if !manifest.telemetry.worker_alias
            && let Some(instead) = alias(&entry)
        {
            wrong(format!("{text}: telemetry.worker_alias is false; use {instead}"));
        }
        let Entry::Mount { ro, server, spec, .. } = entry else { continue };
        let Some(served) = served::find(server) else {
            let known: Vec<&str> = SERVERS.iter().map(|served| served.name).collect();
            wrong(format!("{text}: {server} found; {} allowed", known.join(", ")));
            continue;
        };
        if let Err(what) = serves(manifest, served, spec) {
            wrong(format!("{text}: {what}"));
        } else if role.starts_with("worker-")
            && let Err(what) = may_reach(served, spec, ro)
        {
            wrong(format!("{text}: {role} {what}"));
        } else if role == "observer" && !ro {
            wrong(format!("{text}: observer changes nothing; write mount -r"));
        }
    }
    Ok(problems)
}

/// What to use where an entry makes or uses `/worker/…`, or what is mounted there.
fn alias(entry: &Entry<'_>) -> Option<&'static str> {
    let within = |path: &str| path == "/worker" || path.starts_with("/worker/");
    let path = "the path below /shard";
    match *entry {
        Entry::Mount { server: "worker", old, .. } if within(old) => Some(path),
        Entry::Mount { server: "worker", spec, .. } => {
            let is_shard = spec == "shard" || spec.starts_with("shard/");
            (!is_shard).then_some("a SPEC below shard")
        }
        Entry::Mount { .. } => None,
        Entry::Bind { new, old, .. } => (within(new) || within(old)).then_some(path),
    }
}

/// Whether the server has that spec; one that is not part of this build is taken at its word.
fn serves(manifest: &Manifest, served: &Served, spec: &str) -> Result<(), String> {
    if !served.is_built() {
        return Ok(());
    }
    let (first, rest) = spec.split_once('/').unwrap_or((spec, ""));
    let (root, name) = match served.roots.iter().find(|root| root.name == first) {
        Some(root) => (root, rest.split('/').next().unwrap_or_default()),
        // No root of that name: a path in the main tree.
        None => match served.roots.iter().find(|root| root.name.is_empty()) {
            Some(main) => (main, first),
            None => {
                let roots: Vec<&str> = served.roots.iter().map(|root| root.name).collect();
                let found = if spec.is_empty() { "no SPEC".to_string() } else { format!("{first} found") };
                return Err(format!("{found}; {} serves {}", served.name, roots.join(", ")));
            }
        },
    };
    let names: Vec<&str> = match root.names {
        Names::Any => return Ok(()),
        Names::Fixed(names) => names.to_vec(),
        Names::Streams => manifest.log.streams.iter().map(String::as_str).collect(),
    };
    if name.is_empty() || names.contains(&name) {
        return Ok(());
    }
    let roots = served.roots.iter().map(|root| root.name).filter(|root| !root.is_empty() && *root != first);
    let roots = roots.filter(|other| root.name.is_empty() && !names.contains(other));
    let known: Vec<&str> = names.iter().copied().chain(roots).collect();
    Err(format!("{name} found; {} serves {}", served.name, known.join(", ")))
}

/// Whether a worker role may mount that: its own files and what is listed, nothing else.
fn may_reach(served: &Served, spec: &str, ro: bool) -> Result<(), String> {
    let within = |allowed: &str| {
        spec.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match served.for_workers.iter().find(|(allowed, _)| within(allowed)) {
        Some((_, true)) if !ro => Err("may only read that; write mount -r".to_string()),
        Some(_) => Ok(()),
        None if served.for_workers.is_empty() => Err(format!("may not reach {}", served.name)),
        None => {
            let allowed: Vec<&str> = served.for_workers.iter().map(|(allowed, _)| *allowed).collect();
            Err(format!("may reach of {} only {}", served.name, allowed.join(", ")))
        }
    }
}
