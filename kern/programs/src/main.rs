//! The programs of the seL4 image in one file: a process runs the one that its topology names. They share most of
//! their code, and so there is one copy of it in the bundle, in memory, and in an emulator's cache.
//! Guarantees: a name that is none of these ends its process with a sentence. What a process may do is a matter of
//! its capabilities, not of the code that it could run.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The entry point's name is exported, which counts as unsafe.
#![cfg_attr(target_os = "none", allow(unsafe_code))]

#[cfg(target_os = "none")]
task::process!(bare::main);

#[cfg(target_os = "none")]
mod bare {
    /// By the names that the manifest and the topology have for them.
    const PROGRAMS: [(&str, fn() -> !); 13] = [
        ("auditfs", auditfs::main),
        ("consoled", consoled::main),
        ("init", init::main),
        ("logfs", logfs::main),
        ("net", net::main),
        ("ninedoor", ninedoor::main),
        ("policyfs", policyfs::main),
        ("procfs", procfs::main),
        ("queenfs", queenfs::main),
        ("telemetryfs", telemetryfs::main),
        ("tracefs", tracefs::main),
        ("worker-heart", worker_heart::main),
        ("workerfs", workerfs::main),
    ];

    pub(crate) fn main() -> ! {
        let name = task::config().program.as_str();
        match PROGRAMS.iter().find(|(program, _)| *program == name) {
            Some((_, main)) => main(),
            None => task::fail(format_args!("{name}: no such program")),
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("programs: run on seL4 only; build the image with sys/sel4/build");
}
