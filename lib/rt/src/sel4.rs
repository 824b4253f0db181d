//! The back end on seL4: the root task's pages and channels, one notification.

pub(crate) mod boot;
pub(crate) mod clock;
pub(crate) mod host;
pub(crate) mod network;
pub(crate) mod poll;
pub(crate) mod serve;
