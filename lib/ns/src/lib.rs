//! Mount tables: namespace files, path resolution, bind and mount
#![forbid(unsafe_code)]
