//! The back end on Linux: processes, Unix sockets, epoll.

pub(crate) mod boot;
pub(crate) mod clock;
pub(crate) mod doors;
pub(crate) mod host;
pub(crate) mod poll;
pub(crate) mod serve;
pub(crate) mod signals;
