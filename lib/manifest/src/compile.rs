//! The compiler: `hive.toml` and bind/ in; one resolved manifest, and everything that is made
//! from it, out. Byte for byte the same from the same input.

use std::collections::BTreeMap;
use std::format;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use toml::{Table, Value};

use crate::{Fingerprint, Listener, Manifest};

mod check;
mod client;
mod image;
pub mod keys;
mod names;
mod output;
mod problem;
mod read;
pub mod served;
pub mod tables;

pub use client::ClientConfig;
pub use problem::Problem;
use read::{Lines, Read};

/// What a start adds to what the file says; it is part of the fingerprint like the rest.
#[derive(Clone, Debug, Default)]
pub struct Additions {
    /// More listeners (`coh up --listen`, `--compat`).
    pub listeners: Vec<Listener>,
    /// More public keys, id to 64 hex digits: the dev profile's own key, `dev`.
    pub keys: BTreeMap<String, String>,
    /// A TCP console, `HOST!PORT` (`coh up --console`).
    pub console: Option<String>,
}

/// A manifest that passed every check, and all that is written from it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The resolved manifest.
    pub manifest: Manifest,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Path below the output directory, and contents; sorted.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Compiles a manifest file.
pub fn compile(path: &Path) -> Result<Compiled, Vec<Problem>> {
    compile_with(path, &Additions::default())
}

/// Compiles a manifest file as if it also said what `additions` say.
pub fn compile_with(path: &Path, additions: &Additions) -> Result<Compiled, Vec<Problem>> {
    let shown = path.display().to_string();
    let whole = |what: String| vec![Problem { file: shown.clone(), line: 0, what }];
    let text = fs::read_to_string(path).map_err(|error| whole(error.to_string()))?;
    let Read { mut tree, lines, mut problems } =
        read::read(&shown, &text).map_err(|problem| vec![problem])?;

    let base = path.parent().unwrap_or(Path::new(""));
    let dir = take_dir(&mut tree, base);
    resolve_servers(&mut tree, &lines);
    tree.insert("namespaces".into(), Value::Table(Table::new()));
    let mut manifest: Manifest = match tree.try_into() {
        Ok(manifest) => manifest,
        // What must be there is not; nothing further can be looked at.
        Err(_) if !problems.is_empty() => return Err(sorted(problems)),
        Err(error) => {
            return Err(whole(format!("the key table and the types disagree: {}", error.message())));
        }
    };
    manifest.listeners.extend(additions.listeners.iter().cloned());
    manifest.tickets.keys.extend(additions.keys.clone());
    if additions.console.is_some() {
        manifest.console.tcp.clone_from(&additions.console);
    }

    check::check(&manifest, &lines, &mut problems);
    names::resolve(&mut manifest, &dir, &lines, &mut problems);
    if !problems.is_empty() {
        return Err(sorted(problems));
    }
    Ok(Compiled::of(manifest))
}

impl Compiled {
    /// All that is written from a manifest that was compiled before.
    pub fn of(manifest: Manifest) -> Compiled {
        let fingerprint = manifest.fingerprint();
        let files = output::files(&manifest, fingerprint);
        Compiled { manifest, fingerprint, files }
    }

    /// Writes all files below `dir`, each at once or not at all, for the user's eyes only.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        for (name, contents) in &self.files {
            let path = dir.join(name);
            let parent = path.parent().unwrap_or(dir);
            fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|e| at(parent, &e))?;
            let draft =
                parent.join(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()));
            let write = || {
                let mut file = fs::OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&draft)?;
                file.write_all(contents)?;
                fs::rename(&draft, &path)
            };
            write().map_err(|e| at(&path, &e))?;
        }
        Ok(())
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort();
    problems.dedup();
    problems
}

/// `namespaces.dir`, which only the compiler reads, seen from here.
fn take_dir(tree: &mut Table, base: &Path) -> PathBuf {
    let section = tree.remove("namespaces");
    let dir = section.as_ref().and_then(|section| section.get("dir")).and_then(Value::as_str);
    tidy(&base.join(dir.unwrap_or("../bind")))
}

/// `sys/../bind` as `bind`, so that messages name a file as its owner would. A symbolic link on
/// the way is not looked through: then the path stays as it is.
fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match (component, out.components().next_back()) {
            (Component::ParentDir, Some(Component::Normal(_))) if !out.is_symlink() => {
                out.pop();
            }
            _ => out.push(component),
        }
    }
    out
}

/// The servers as a list in the order of the file, those that are off left out, with their
/// programs and their own defaults.
fn resolve_servers(tree: &mut Table, lines: &Lines) {
    let Some(Value::Table(section)) = tree.remove("servers") else { return };
    let mut servers: Vec<(u32, Value)> = Vec::new();
    for (name, value) in section {
        let (Value::Table(mut server), Some(served)) = (value, served::find(&name)) else { continue };
        if server.remove("enabled") == Some(Value::Boolean(false)) {
            continue;
        }
        let line = lines.line(&format!("servers.{name}"));
        server.entry("required").or_insert(Value::Boolean(served.required));
        server.entry("memory_kib").or_insert(Value::Integer(served.memory_kib));
        if name == "worker"
            && !lines.has("servers.worker.count")
            && let Some(count) = tree.get("telemetry").and_then(|section| section.get("worker_servers"))
        {
            server.insert("count".into(), count.clone());
        }
        server.insert("program".into(), Value::from(served.program));
        server.insert("name".into(), Value::String(name));
        servers.push((line, Value::Table(server)));
    }
    servers.sort_by_key(|(line, _)| *line);
    tree.insert("servers".into(), Value::Array(servers.into_iter().map(|(_, server)| server).collect()));
}
