//! The compiler through its front door: a manifest and its bind files on disk, and what is said
//! of them. Every message of manifest(5) and namespace(5) is here.
#![forbid(unsafe_code)]

mod audit;
mod binds;
mod house;
mod kept;
mod network;
mod output;
mod values;
mod whole;
