//! Every command's page and its `--help` name the same options, and `-h` is one screen.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::program;

/// Lines of a screen; the shared options of a hive take ten of them.
const SCREEN: usize = 30;

/// The options that `--help` lists: at the beginning of a line, `-n, --lines <N>`.
fn options_of_help(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    lines
        .flat_map(|line| line.split([' ', ',']).take_while(|word| word.is_empty() || word.starts_with('-')))
        .map(|word| word.trim_end_matches("...").to_owned())
        .filter(|word| word.len() > 1)
        .collect()
}

/// The options that a page's lists of options describe: `.It Fl n , Fl -lines Ar lines`.
fn options_of_page(page: &str) -> BTreeSet<String> {
    let items = page.lines().filter(|line| line.starts_with(".It Fl "));
    items
        .flat_map(|line| line.split("Fl ").skip(1))
        .filter_map(|rest| rest.split_whitespace().next())
        .map(|name| format!("-{name}"))
        .collect()
}

fn said(name: &str, args: &[&str]) -> String {
    let output = Command::new(program(name)).args(args).output().unwrap();
    assert!(output.status.success(), "{name} {args:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_page_of_a_small_command_describes_its_options() {
    let man = Path::new(env!("CARGO_MANIFEST_DIR")).join("../man/man1");
    let names = [
        "ls", "cat", "tail", "echo", "stat", "ping", "ns", "bind", "mnt", "spawn", "kill", "ps", "log",
        "audit", "verify", "replay", "life", "lease", "sched", "export", "policy", "approve", "deny", "sh",
        "test",
    ];
    for name in names.map(|name| format!("coh{name}")).iter().chain([&"cohbench".to_owned()]) {
        let screen = said(name, &["-h"]);
        let help = said(name, &["--help"]);
        let page = fs::read_to_string(man.join(format!("{name}.1"))).unwrap();
        assert_eq!(
            options_of_help(&help),
            options_of_page(&page),
            "{name}: --help (left) and its page (right)"
        );
        assert!(screen.lines().count() <= SCREEN, "{name} -h has {} lines", screen.lines().count());
    }
}

/// Every option that a page speaks of, wherever it does.
fn options_in_page(page: &str) -> BTreeSet<String> {
    let words = page.split("Fl ").skip(1).filter_map(|rest| rest.split_whitespace().next());
    words.filter(|word| *word != "Ns").map(|word| format!("-{word}")).collect()
}

#[test]
fn every_page_of_a_command_with_verbs_or_of_the_hive_speaks_of_its_options() {
    let man = Path::new(env!("CARGO_MANIFEST_DIR")).join("../man");
    let shared = ["--ns", "--door", "--ticket", "--record-trace", "--replay-trace"].map(str::to_owned);
    for (name, page, verbs) in [
        ("coh", "man8/coh.8", &["up", "down", "status", "kill", "completion"][..]),
        ("coh-mount", "man8/coh-mount.8", &[]),
        ("coh-umount", "man8/coh-umount.8", &[]),
        ("coh-doctor", "man8/coh-doctor.8", &[]),
        ("coh-rtc", "man8/coh-rtc.8", &[]),
        ("cohpush", "man1/cohpush.1", &[]),
        ("cohpull", "man1/cohpull.1", &[]),
        ("cohticket", "man1/cohticket.1", &["mint", "narrow", "seal", "show", "revoke"]),
    ] {
        let mut there = options_of_help(&said(name, &["--help"]));
        for verb in verbs {
            there.extend(options_of_help(&said(name, &[verb, "--help"])));
        }
        let mut described = options_in_page(&fs::read_to_string(man.join(page)).unwrap());
        match name {
            // Its revoke takes what every command does, and the page says so.
            "cohticket" => there.retain(|option| !shared.contains(option)),
            // What it asks the other programs with.
            "coh" => drop(described.remove("--completion")),
            _ => {}
        }
        assert_eq!(there, described, "{name}: --help (left) and its page (right)");
    }
}

#[test]
fn options_are_found_where_they_are_listed() {
    let help = "Usage: x [OPTIONS]\n  -n, --lines <N>  How many -x\n      --json\n  -h, --help";
    assert_eq!(options_of_help(help), ["--help", "--json", "--lines", "-h", "-n"].map(str::to_owned).into());
    let page = ".It Fl n , Fl -lines Ar lines\n.It Fl -json\ntext Fl -no\n.It Fl h , Fl -help\n";
    assert_eq!(options_of_page(page), ["--help", "--json", "--lines", "-h", "-n"].map(str::to_owned).into());
}
