//! The door: sessions, mount tables, ticket checks, routing
#![forbid(unsafe_code)]
