//! The queen's state machines, as pure folds over commands
#![forbid(unsafe_code)]
