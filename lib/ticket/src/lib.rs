//! Tickets: claims, signatures, attenuation, limits
#![forbid(unsafe_code)]
