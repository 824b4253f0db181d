//! What a server's main stands on: event loop, clock, entropy, log, channels
#![forbid(unsafe_code)]
