//! Links the program as a process of the image.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=../task/link.ld");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{here}/../task/link.ld");
        println!("cargo::rustc-link-arg-bins=-n");
    }
}
