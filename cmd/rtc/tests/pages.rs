//! coh-rtc through its binary, and held against its manual pages: their examples do what they
//! show, their options are those of `-h`.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used)] // A test that cannot run its program fails, and says where.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository, where the pages' examples are run.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rtc(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coh-rtc"));
    command.args(args).current_dir(root()).output().expect("coh-rtc runs")
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("man").join(name)).expect(name)
}

/// The literal blocks of a page's EXAMPLES, as they are shown.
fn examples(page: &str) -> Vec<String> {
    let (_, examples) = page.split_once("\n.Sh EXAMPLES\n").expect("EXAMPLES");
    let (examples, _) = examples.split_once("\n.Sh ").expect("a section after EXAMPLES");
    let mut blocks = Vec::new();
    for block in examples.split("\n.Bd -literal -offset indent\n").skip(1) {
        let (block, _) = block.split_once("\n.Ed").expect(".Ed");
        blocks.push(block.replace("\\-", "-").replace("\\e", "\\") + "\n");
    }
    blocks
}

/// A manifest of its own beside the repository's bind files.
fn compile(text: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bind = fs::canonicalize(root().join("bind")).expect("bind/");
    let text = text.replace("[roles]", &format!("[namespaces]\ndir = {bind:?}\n[roles]"));
    let file = dir.path().join("hive.toml");
    fs::write(&file, text).expect("hive.toml");
    let done = rtc(&[file.to_str().expect("UTF-8"), "--check"]);
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

#[test]
fn the_manifests_of_manifest_5_compile() {
    let examples = examples(&page("man5/manifest.5"));
    let [least, listeners, keys] = examples.as_slice() else { panic!("three examples: {examples:?}") };
    assert_eq!(compile(least), Ok(()));
    assert_eq!(compile(&(least.clone() + listeners)), Ok(()));
    assert_eq!(compile(&(String::from("profile = \"release\"\n") + least + keys)), Ok(()));
}

#[test]
fn the_examples_of_coh_rtc_8_run() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let out = dir.path().to_str().expect("UTF-8");
    let binary = Path::new(env!("CARGO_BIN_EXE_coh-rtc")).parent().expect("a directory");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").expect("PATH"));
    for example in examples(&page("man8/coh-rtc.8")) {
        // What is refreshed is the repository's own: that example is the next test's.
        if example.contains("--docs") {
            continue;
        }
        let (command, shown) = match example.strip_prefix("$ ").and_then(|rest| rest.split_once('\n')) {
            Some((command, shown)) => (command.to_string(), Some(shown)),
            None => (example.replace("out/rtc", out), None),
        };
        let done =
            Command::new("sh").args(["-euc", &command]).env("PATH", &path).current_dir(root()).output();
        let done = done.expect("sh runs");
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
        if let Some(shown) = shown {
            assert_eq!(String::from_utf8_lossy(&done.stdout), shown, "{command}");
        }
    }
}

#[test]
fn the_options_are_those_of_the_page() {
    let help = String::from_utf8(rtc(&["-h"]).stdout).expect("UTF-8");
    let page = page("man8/coh-rtc.8");
    let mut options = 0;
    for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
        let option = line.split([' ', ',']).next().expect("an option").trim_start_matches('-');
        let (short, long) = (format!("Fl {option}"), format!("Fl -{option}"));
        assert!(page.contains(&short) || page.contains(&long), "{line}");
        options += 1;
    }
    assert_eq!(options, page.matches("\n.It Fl ").count(), "{help}");
}

#[test]
fn no_page_is_stale() {
    let done = rtc(&["--docs", "man", "--check"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_stale_page_is_refreshed_in_its_place() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(dir.path().join("man4")).expect("man4");
    let page = dir.path().join("man4/x.4");
    let man = dir.path().to_str().expect("UTF-8");
    fs::write(&page, "before\n.\\\" BEGIN generated: proc-tree\nstale\n.\\\" END generated\nafter\n")
        .expect("x.4");
    let done = rtc(&["--docs", man, "--check"]);
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8(done.stderr).expect("UTF-8");
    assert_eq!(said, format!("coh-rtc: {}: stale; refresh it with coh-rtc --docs man\n", page.display()));
    assert!(rtc(&["--docs", man]).status.success());
    let fresh = fs::read_to_string(&page).expect("x.4");
    assert!(
        fresh.starts_with("before\n.\\\" BEGIN generated: proc-tree\n.Bl ") && fresh.ends_with("\nafter\n"),
        "{fresh}"
    );
    assert!(fresh.contains(".It Pa /proc/9p\ndoor [9p]\n") && !fresh.contains("stale"), "{fresh}");
    assert!(rtc(&["--docs", man, "--check"]).status.success());
}

#[test]
fn wrong_markers_are_named() {
    for (page, says) in [
        (
            ".\\\" BEGIN generated: frob\n.\\\" END generated\n",
            "line 1: no table frob; there are client-policy, ",
        ),
        ("x\n.\\\" END generated\n", "line 2: .\\\" END generated without a beginning"),
        (".\\\" BEGIN generated: servers\n", "servers has no end: write .\\\" END generated"),
        (
            ".\\\" BEGIN generated: servers\n.\\\" BEGIN generated: proc-tree\n",
            "line 2: proc-tree begins within servers",
        ),
    ] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("man5")).expect("man5");
        fs::write(dir.path().join("man5/x.5"), page).expect("x.5");
        let done = rtc(&["--docs", dir.path().to_str().expect("UTF-8")]);
        let said = String::from_utf8(done.stderr).expect("UTF-8");
        assert_eq!(done.status.code(), Some(1));
        assert!(said.contains(says), "{said}");
        assert_eq!(fs::read_to_string(dir.path().join("man5/x.5")).expect("x.5"), page, "it is left alone");
    }
}

#[test]
fn a_refusal_is_one_line_each_and_status_1() {
    let done = rtc(&["/no/such/hive.toml"]);
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8(done.stderr).expect("UTF-8");
    assert_eq!(said, "coh-rtc: /no/such/hive.toml: No such file or directory (os error 2)\n");
    assert_eq!(rtc(&["--frob"]).status.code(), Some(2));
    let done = rtc(&["--explain", "frob"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&done.stderr).starts_with("coh-rtc: frob: no such key; there are schema, ")
    );
}
