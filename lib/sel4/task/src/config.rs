//! The configuration page: what the root task tells a process at its start.

use crate::place::CHANNELS_MAX;

/// Bytes of a name at most.
pub const NAME_MAX: usize = 24;
/// Bytes of a secret at most: a key of 64 hex digits and a newline, with room.
pub const SECRET_MAX: usize = 256;
/// Tells a configuration page from other memory, and its version.
pub const MAGIC: u64 = 0x0004_6b73_6174_6f63;
/// The root task's own number.
pub const ROOT: u32 = 63;

/// Text of at most `N` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Text<const N: usize> {
    length: u64,
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    /// `text`, cut to the bytes that there is room for.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; N];
        let mut length = text.len().min(N);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        Self { length: length as u64, bytes }
    }

    /// It.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..(self.length as usize).min(N)];
        core::str::from_utf8(bytes).unwrap_or("?")
    }
}

/// What a channel is for, seen from the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Role {
    /// The other end asks, this one answers: 9P.
    Serve = 0,
    /// This end asks on its own account: 9P.
    Ask = 1,
    /// This end passes on what its clients ask: 9P, the door's.
    Route = 2,
    /// A client's stream to the door, at the door's end.
    Admit = 3,
    /// A client's stream to the door, at the client's end.
    Enter = 4,
    /// Lines, with the root task or with init.
    Lines = 5,
    /// Many clients' streams in frames (lib/chan's mux), at the end that is offered them.
    Many = 6,
    /// The same, at the end that opens them.
    Offer = 7,
}

impl Role {
    /// The role that the word of a topology names, at the first end and at the second.
    #[must_use]
    pub fn of(word: &str) -> Option<[Self; 2]> {
        Some(match word {
            "ask" => [Self::Ask, Self::Serve],
            "route" => [Self::Route, Self::Serve],
            "enter" => [Self::Enter, Self::Admit],
            "lines" => [Self::Lines, Self::Lines],
            "many" => [Self::Offer, Self::Many],
            _ => return None,
        })
    }
}

/// One channel of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Wire {
    /// Who is at the other end.
    pub peer: Text<NAME_MAX>,
    /// Its number.
    pub number: u32,
    /// What the channel is for.
    pub role: Role,
}

/// Most interrupt lines of a device.
pub const LINES_MAX: usize = 4;

/// Which device a process has, alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Device {
    /// None.
    None = 0,
    /// The virtio network card.
    VirtioNet = 1,
    /// The virtio disk.
    VirtioBlk = 2,
    /// The RTL8139 network card, and with it the PCI bus.
    Rtl8139 = 3,
}

impl Device {
    /// The device that the word of a topology names.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "virtio-net" => Self::VirtioNet,
            "virtio-blk" => Self::VirtioBlk,
            "rtl8139" => Self::Rtl8139,
            _ => return None,
        })
    }
}

/// The page's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Config {
    /// [`MAGIC`].
    pub magic: u64,
    /// The process's name.
    pub name: Text<NAME_MAX>,
    /// Its program's: a file may hold several.
    pub program: Text<NAME_MAX>,
    /// Its number.
    pub number: u32,
    /// How many of `wires` there are.
    pub channels: u32,
    /// Its channels.
    pub wires: [Wire; CHANNELS_MAX],
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
    /// Where its heap begins, and where it ends.
    pub heap: [u64; 2],
    /// Bytes of memory that it has over all its lives.
    pub kept: u64,
    /// What nobody else knows: its randomness, another at each start.
    pub seed: [u8; 32],
    /// The name of its secret, and what that is.
    pub secret_name: Text<NAME_MAX>,
    /// See `secret_name`.
    pub secret: Text<SECRET_MAX>,
    /// Its device.
    pub device: Device,
    /// How many interrupt lines that has.
    pub lines: u32,
    /// Where the device's memory lies for the device.
    pub dma_bus: u64,
}

impl Config {
    /// A process called `name` that is to run `program`, with nothing yet.
    #[must_use]
    pub fn new(name: &str, program: &str, number: u32) -> Self {
        Self {
            magic: MAGIC,
            name: Text::new(name),
            program: Text::new(program),
            number,
            channels: 0,
            wires: [Wire { peer: Text::new(""), number: ROOT, role: Role::Lines }; CHANNELS_MAX],
            manifest_bytes: 0,
            heap: [0; 2],
            kept: 0,
            device: Device::None,
            lines: 0,
            dma_bus: 0,
            seed: [0; 32],
            secret_name: Text::new(""),
            secret: Text::new(""),
        }
    }

    /// Its channels.
    #[must_use]
    pub fn wires(&self) -> &[Wire] {
        &self.wires[..(self.channels as usize).min(CHANNELS_MAX)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_letters() {
        let long = "a-name-of-twenty-three-\u{e9}\u{e9}";
        assert_eq!(Config::new(long, "logfs", 1).name.as_str(), "a-name-of-twenty-three-");
        assert_eq!(Config::new("log", "logfs", 2).name.as_str(), "log");
    }

    #[test]
    fn it_fits_its_page() {
        assert!(size_of::<Config>() <= crate::place::PAGE as usize);
    }

    #[test]
    fn both_ends_of_a_channel_have_a_role() {
        assert_eq!(Role::of("enter"), Some([Role::Enter, Role::Admit]));
        assert_eq!(Role::of("gossip"), None);
    }
}
