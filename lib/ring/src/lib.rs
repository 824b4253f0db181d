//! Bounded rings of records with absolute offsets
#![forbid(unsafe_code)]
