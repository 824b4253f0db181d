//! The generator against a kernel that is installed here, if one is: what it counts from the interface files
//! must be what the kernel's own generated headers say.

use std::path::PathBuf;
use std::{env, fs};

/// The kernel under `$SEL4_PREFIX`, or the usual place.
fn prefix() -> Option<PathBuf> {
    let prefix = PathBuf::from(env::var_os("SEL4_PREFIX").unwrap_or_else(|| "/opt/seL4".into()));
    if prefix.join("bin/kernel.elf").exists() {
        return Some(prefix);
    }
    println!("skipped: no seL4 at {}", prefix.display());
    None
}

/// `    pub const NAME: … = VALUE;` of one module of the output.
fn constants(module: &str, name: &str) -> Vec<i64> {
    let start = format!("pub mod {name} {{");
    let lines = module.lines().skip_while(|line| *line != start).take_while(|line| *line != "}");
    lines.filter_map(|l| l.split(" = ").nth(1)?.trim_end_matches(';').parse().ok()).collect()
}

#[test]
fn system_calls_and_labels_agree_with_the_installed_headers() {
    let Some(prefix) = prefix() else { return };
    let bindings = sel4_gen::bindings(&prefix).unwrap();
    let include = prefix.join("libsel4/include/sel4");

    let header = fs::read_to_string(include.join("syscall.h")).unwrap();
    let ours = constants(&bindings.module, "syscall");
    let api: Vec<i64> = (1..=8).map(|n| -n).collect();
    assert_eq!(ours[..8], api);
    for number in ours {
        assert!(header.contains(&format!(" = {number},")), "{number}");
    }

    // Labels count on through the three files; every name's number is its place in them.
    let labels = constants(&bindings.module, "label");
    assert_eq!(labels, (1..=labels.len() as i64).collect::<Vec<_>>());
    assert!(bindings.module.contains("pub const UNTYPED_RETYPE: u64 = 1;"));
    assert!(bindings.module.contains("pub fn arm_page_map("));
}
