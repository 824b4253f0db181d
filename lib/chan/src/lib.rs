//! How two processes talk: byte streams of 9P frames
#![forbid(unsafe_code)]
