//! Fuzz targets for every decoder
#![forbid(unsafe_code)]
