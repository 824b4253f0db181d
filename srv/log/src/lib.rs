//! Append-only streams under /log
#![forbid(unsafe_code)]
