//! The loader: the first code of the image. It turns the memory management unit on, copies the kernel, the
//! root task, the bundle and the device tree to their places, starts the other cores, and enters the kernel
//! on all of them (seL4's contract with its loader: six words, and the core's number in `TPIDR_EL1`).
//! Guarantees: it enters the kernel with everything in place, or says on the serial line what is wrong.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod serial;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("loader: starts a machine, not a process; build the image with sys/sel4/build");
}
