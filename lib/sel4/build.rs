//! Writes the bindings for the kernel under `$SEL4_PREFIX`. On a host there is no kernel and nothing to do.

use std::path::PathBuf;
use std::{env, fs, process};

fn main() {
    println!("cargo::rerun-if-env-changed=SEL4_PREFIX");
    println!("cargo::rerun-if-changed=build.rs");
    for (_, flag) in sel4_gen::FLAGS {
        println!("cargo::rustc-check-cfg=cfg({flag})");
    }
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let prefix = PathBuf::from(env::var_os("SEL4_PREFIX").unwrap_or_else(|| "/opt/seL4".into()));
    println!("cargo::rerun-if-changed={}", prefix.join("libsel4/include").display());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("kernel.rs");
    let refuse = |why: String| {
        println!("cargo::error={why}");
        process::exit(1)
    };
    match sel4_gen::bindings(&prefix) {
        Err(why) => refuse(why.to_string()),
        Ok(bindings) => {
            for flag in bindings.flags {
                println!("cargo::rustc-cfg={flag}");
            }
            if let Err(e) = fs::write(&out, bindings.module) {
                refuse(format!("{}: {e}", out.display()));
            }
        }
    }
}
