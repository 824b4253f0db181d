//! The typed, resolved hive manifest and its validation
#![forbid(unsafe_code)]
