//! What sel4-gen wrote for this kernel: constants, structures and one function an invocation.
// The names are the kernel's and its manual describes them; a shift by 0 and a widening of a u64 are the
// price of stubs that all look alike.
#![allow(missing_docs, clippy::identity_op, clippy::useless_conversion, clippy::too_many_arguments)]

include!(concat!(env!("OUT_DIR"), "/kernel.rs"));
