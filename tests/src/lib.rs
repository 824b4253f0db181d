//! What crosses crates: conformance, hostile clients, faults, transcripts
#![forbid(unsafe_code)]
