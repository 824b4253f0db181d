//! The names that a hosted program has without asking, for those that run without an operating system too:
//! `use rt::prelude::*;`. On a host they are the same ones.

pub use alloc::borrow::ToOwned;
pub use alloc::boxed::Box;
pub use alloc::string::{String, ToString};
pub use alloc::vec::Vec;
pub use alloc::{format, vec};
