//! The configuration page: what the root task tells a process at its start.

/// Bytes of a name at most.
pub const NAME_MAX: usize = 24;
/// Tells a configuration page from other memory, and its version.
pub const MAGIC: u64 = 0x0001_6b73_6174_6f63;

/// The page's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Config {
    /// [`MAGIC`].
    pub magic: u64,
    /// How many channels are mapped.
    pub channels: u64,
    name_bytes: u64,
    name: [u8; NAME_MAX],
}

impl Config {
    /// A process called `name`, which is cut to [`NAME_MAX`] bytes, with so many channels.
    #[must_use]
    pub fn new(name: &str, channels: usize) -> Self {
        let mut bytes = [0; NAME_MAX];
        let mut length = name.len().min(NAME_MAX);
        while !name.is_char_boundary(length) {
            length -= 1;
        }
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        Self { magic: MAGIC, channels: channels as u64, name_bytes: length as u64, name: bytes }
    }

    /// The process's name.
    #[must_use]
    pub fn name(&self) -> &str {
        let bytes = &self.name[..(self.name_bytes as usize).min(NAME_MAX)];
        core::str::from_utf8(bytes).unwrap_or("?")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_letters() {
        let long = "a-name-of-twenty-three-\u{e9}\u{e9}";
        assert_eq!(Config::new(long, 1).name(), "a-name-of-twenty-three-");
        assert_eq!(Config::new("log", 2).name(), "log");
    }
}
