//! Links the root task to its place, on bare metal, and looks whether the kernel lets user level at its timer.

use std::path::Path;
use std::{env, fs};

use sel4_gen::Config;

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    println!("cargo::rerun-if-env-changed=COHESIX_MANIFEST");
    println!("cargo::rerun-if-env-changed=SEL4_PREFIX");
    println!("cargo::rustc-check-cfg=cfg(has_virtual_timer)");
    let manifest = env::var("COHESIX_MANIFEST").unwrap_or_else(|_| "none".to_owned());
    println!("cargo::rustc-env=COHESIX_MANIFEST={manifest}");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{here}/link.ld");
        println!("cargo::rustc-link-arg-bins=-n");
        let prefix = env::var_os("SEL4_PREFIX").unwrap_or_else(|| "/opt/seL4".into());
        let file = Path::new(&prefix).join("libsel4/include/kernel/gen_config.json");
        println!("cargo::rerun-if-changed={}", file.display());
        // What is wrong with it, lib/sel4 says.
        let config = fs::read_to_string(file).ok().and_then(|json| Config::parse(&json).ok());
        if config.is_some_and(|config| config.has("EXPORT_VTMR_USER")) {
            println!("cargo::rustc-cfg=has_virtual_timer");
        }
    }
}
