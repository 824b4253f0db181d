//! 9P2000.L: wire codec, server engine, client engine, dialling
#![forbid(unsafe_code)]
