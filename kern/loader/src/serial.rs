//! The serial line, write only: QEMU's first PL011, which works without being set up.
#![allow(unsafe_code)]

use core::fmt;

const BASE: usize = 0x0900_0000;
const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const FULL: u32 = 1 << 5;

/// Where [`core::write!`] goes.
pub(crate) struct Serial;

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                put(b'\r');
            }
            put(byte);
        }
        Ok(())
    }
}

fn put(byte: u8) {
    // SAFETY: the device's registers lie there on this machine, mapped as a device, and only one core is up.
    unsafe {
        while core::ptr::read_volatile((BASE + FLAGS) as *const u32) & FULL != 0 {}
        core::ptr::write_volatile((BASE + DATA) as *mut u32, u32::from(byte));
    }
}

/// Prints one line of the boot log.
macro_rules! say {
    ($($text:tt)*) => {{
        use core::fmt::Write as _;
        let _ = writeln!($crate::serial::Serial, "[loader] {}", format_args!($($text)*));
    }};
}
pub(crate) use say;
