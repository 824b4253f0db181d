//! net: the process of an image that has the network card. It makes streams of what clients connect to, for the
//! door and the console.
//! Guarantees: a card that lies or fails is reset; what it says in the log is where it listens.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The entry point's name is exported, which counts as unsafe.
#![cfg_attr(target_os = "none", allow(unsafe_code))]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod log;
#[cfg(target_os = "none")]
mod process;

#[cfg(target_os = "none")]
task::process!(process::main);

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("net: runs on seL4 only; build the image with sys/sel4/build");
}
