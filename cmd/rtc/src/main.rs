//! coh-rtc: compiles a hive's manifest, or says what is wrong with it.
//! All of it is `lib/manifest`, which `coh up` uses as well; this is its command line.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use manifest::compile::Additions;
use manifest::compile::{keys, tables};
use manifest::{Compiled, compile_with};

/// Compile a hive's manifest.
#[derive(Parser)]
#[command(name = "coh-rtc", version, after_help = "With none of -o, --check, --explain, --docs: as --check.")]
struct Args {
    /// The manifest
    #[arg(default_value = "sys/hive.toml")]
    manifest: PathBuf,
    /// Write manifest.{json,cbor,sha256}, client.toml, topology.json, topology, ns/ and tables/ below OUT
    #[arg(short, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Accept tickets made with the secret key in FILE, too, as those of issuer dev
    #[arg(long, value_name = "FILE")]
    issuer: Option<PathBuf>,
    /// Write nothing; with --docs: fail where a page is stale
    #[arg(long)]
    check: bool,
    /// Tell what a key, or every key of a section, means and may be
    #[arg(long, value_name = "KEY")]
    explain: Option<String>,
    /// Refresh the generated tables of the manual pages below MAN
    #[arg(long, value_name = "MAN")]
    docs: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.explain {
        Some(key) => explain(key),
        None => build(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(lines) => {
            lines.iter().for_each(|line| eprintln!("coh-rtc: {line}"));
            ExitCode::FAILURE
        }
    }
}

fn build(args: &Args) -> Result<(), Vec<String>> {
    let mut additions = Additions::default();
    if let Some(path) = &args.issuer {
        additions.keys.insert("dev".into(), public(path).map_err(|what| vec![what])?);
    }
    let compiled = compile_with(&args.manifest, &additions)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    if let Some(out) = args.output.as_deref().filter(|_| !args.check) {
        compiled.write(out).map_err(|error| vec![error.to_string()])?;
    }
    if let Some(man) = &args.docs {
        docs(&compiled, man, args.check)?;
    }
    println!("{}  {}", compiled.fingerprint, args.manifest.display());
    Ok(())
}

/// The public half of the issuer's key in a file.
fn public(path: &Path) -> Result<String, String> {
    let said = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let text = zeroize::Zeroizing::new(fs::read_to_string(path).map_err(|error| said(&error))?);
    let key = ticket::IssuerKey::from_hex(text.trim_end());
    Ok(key.map_err(|_| said(&"not an issuer's key of 64 hex digits"))?.public_hex())
}

fn explain(wanted: &str) -> Result<(), Vec<String>> {
    let section = format!("{wanted}.");
    let found: Vec<String> = match keys::find(wanted) {
        Some(key) => vec![tables::explain(key)],
        None => keys::KEYS
            .iter()
            .filter(|key| key.path.replace("[]", "").starts_with(&section))
            .map(tables::explain)
            .collect(),
    };
    if found.is_empty() {
        let mut sections: Vec<&str> =
            keys::KEYS.iter().map(|key| key.path.split(['.', '[']).next().unwrap_or_default()).collect();
        sections.dedup();
        return Err(vec![format!("{wanted}: no such key; there are {}", sections.join(", "))]);
    }
    print!("{}", found.concat());
    Ok(())
}

/// Every page below `man` that has a marker.
fn docs(compiled: &Compiled, man: &Path, check: bool) -> Result<(), Vec<String>> {
    let tables = tables::of(&compiled.manifest);
    let wrong = |path: &Path, what: String| format!("{}: {what}", path.display());
    let mut problems = Vec::new();
    for path in pages(man).map_err(|error| vec![wrong(man, error.to_string())])? {
        let done = fs::read_to_string(&path).map_err(|error| error.to_string()).and_then(|page| {
            let fresh = tables::refresh(&page, &tables)?;
            match (fresh == page, check) {
                (true, _) => Ok(()),
                (false, true) => Err("stale; refresh it with coh-rtc --docs man".to_string()),
                (false, false) => fs::write(&path, fresh).map_err(|error| error.to_string()),
            }
        });
        problems.extend(done.err().map(|what| wrong(&path, what)));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The pages of `man/man*/`, sorted.
fn pages(man: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for section in fs::read_dir(man)? {
        let section = section?.path();
        if section.is_dir() {
            for page in fs::read_dir(section)? {
                let page = page?.path();
                // Sections are digits: notes and editors' files are not pages.
                if page.extension().is_some_and(|ext| ext.as_encoded_bytes().iter().all(u8::is_ascii_digit)) {
                    pages.push(page);
                }
            }
        }
    }
    pages.sort();
    Ok(pages)
}
