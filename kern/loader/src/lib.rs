//! The loader's arithmetic: page tables and the places of things in memory.
//! Guarantees: nothing is placed over anything else, or the plan says why not. Touches no memory itself.
#![no_std]
#![forbid(unsafe_code)]

pub mod place;
pub mod table;
