//! procfs: facts of this boot: `/proc/boot`, `/proc/version`, `/proc/tests`.
//! Guarantees: what it says was true when the hive started, and stays as it was said. Keeps nothing.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use core::fmt::Write;
use manifest::Manifest;
use ninep::refusal::Refusal;
use ninep::srv::{Dir, Now, Op, Request, Service, Tree};
use rt::prelude::*;

rt::main!("proc", |boot| Ok(tree(&boot.manifest)));

/// The facts.
pub struct Facts {
    /// Init's story of the boot, asked for until it is complete.
    story: String,
    /// The manifest's part of `boot`.
    limits: String,
    version: String,
    ask_ms: Option<u64>,
}

/// The scripts under `/proc/tests`, in the language of coh(5).
const SCRIPTS: &[(&str, &str)] = &[
    ("selftest_quick.coh", include_str!("../tests/selftest_quick.coh")),
    ("selftest_full.coh", include_str!("../tests/selftest_full.coh")),
    ("selftest_negative.coh", include_str!("../tests/selftest_negative.coh")),
    ("selftest_smp.coh", include_str!("../tests/selftest_smp.coh")),
];

/// How long to leave init alone that has not finished its boot.
const ASK_AGAIN_MS: u64 = 5;

/// The tree:
///
/// ```text
/// boot           how this hive started, and within which limits
/// version        cohesix 0.1.0 manifest=<sha256> profile=dev target=hosted
/// tests/<name>   self tests as scripts
/// ```
pub fn tree(manifest: &Manifest) -> Tree<Facts> {
    let mut tests = Dir::new();
    for (name, script) in SCRIPTS {
        tests = tests.text(name, |_, _, out| say(out, script));
    }
    let main = Dir::new()
        .text("boot", |facts: &Facts, _, out| {
            say(out, &facts.limits)?;
            say(out, &facts.story)
        })
        .text("version", |facts: &Facts, _, out| say(out, &facts.version))
        .dir("tests", tests);
    Tree::new(Facts::new(manifest), main)
}

fn say(out: &mut String, text: &str) -> Result<(), Refusal> {
    out.push_str(text);
    Ok(())
}

impl Facts {
    fn new(manifest: &Manifest) -> Facts {
        let fingerprint = manifest.fingerprint();
        let word = |value: &dyn core::fmt::Debug| format!("{value:?}").to_lowercase();
        let version = format!(
            "cohesix {} manifest={fingerprint} profile={} target={}\n",
            env!("CARGO_PKG_VERSION"),
            word(&manifest.profile),
            word(&manifest.target),
        );
        let mut limits = format!("manifest={fingerprint}\n");
        let (ninep, telemetry) = (&manifest.ninep, &manifest.telemetry);
        // Writing to a string does not fail.
        let _ = writeln!(
            limits,
            "limits msize={} tags={} fids={} sessions={} queue_bytes={}",
            ninep.msize, ninep.tags_per_session, ninep.fids_per_session, ninep.sessions, ninep.queue_bytes
        );
        let _ = writeln!(
            limits,
            "ring log bytes={} streams={}",
            manifest.log.ring_bytes,
            manifest.log.streams.len()
        );
        let _ =
            writeln!(limits, "ring worker bytes={} budget={}", telemetry.ring_bytes, telemetry.budget_bytes);
        Facts { story: String::new(), limits, version, ask_ms: None }
    }
}

impl Service for Facts {
    fn start(&mut self, now: Now) {
        self.ask_ms = Some(now.mono_ms);
    }

    fn deadline_ms(&self) -> Option<u64> {
        self.ask_ms
    }

    fn outbox(&mut self) -> Vec<Request> {
        let Some(_) = self.ask_ms.filter(|at| *at == 0) else { return Vec::new() };
        self.ask_ms = None;
        vec![Request { id: 1, server: "init", root: "", path: "boot".into(), op: Op::Read }]
    }

    fn tick(&mut self, _: Now) {
        if self.ask_ms.is_some() {
            self.ask_ms = Some(0);
        }
    }

    fn reply(&mut self, _: u64, answer: Result<Vec<u8>, Refusal>, now: Now) {
        if let Ok(story) = answer {
            self.story = String::from_utf8_lossy(&story).into_owned();
        }
        if !self.story.contains("boot_ms=") {
            self.ask_ms = Some(now.mono_ms + ASK_AGAIN_MS);
        }
    }
}
