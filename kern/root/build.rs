//! Links the root task to its place, on bare metal.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    println!("cargo::rerun-if-env-changed=COHESIX_MANIFEST");
    let manifest = env::var("COHESIX_MANIFEST").unwrap_or_else(|_| "none".to_owned());
    println!("cargo::rustc-env=COHESIX_MANIFEST={manifest}");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{here}/link.ld");
        println!("cargo::rustc-link-arg-bins=-n");
    }
}
