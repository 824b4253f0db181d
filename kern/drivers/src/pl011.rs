//! Arm's PL011 UART (DDI 0183): 16-byte FIFOs, interrupt on received bytes.

use hal::{Registers, Uart};

const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const CONTROL: usize = 0x30;
const LINE: usize = 0x2c;
const FIFO_LEVEL: usize = 0x34;
const MASK: usize = 0x38;
const CLEAR: usize = 0x44;

const RECEIVE_EMPTY: u32 = 1 << 4;
const TRANSMIT_FULL: u32 = 1 << 5;
/// Framing, parity, break and overrun, beside the data.
const ERRORS: u32 = 0xf << 8;
/// A byte arrived; bytes wait and the line is silent.
const RECEIVED: u32 = 1 << 4 | 1 << 6;

/// The device.
#[derive(Debug)]
pub struct Pl011<R> {
    registers: R,
}

impl<R: Registers> Pl011<R> {
    /// Takes the device over as the firmware left it: its speed stays; FIFOs and the receive interrupt are
    /// turned on.
    pub fn new(mut registers: R) -> Self {
        registers.write(MASK, 0);
        registers.write(CLEAR, 0x7ff);
        const EIGHT_BITS_FIFO: u32 = 3 << 5 | 1 << 4;
        registers.write(LINE, EIGHT_BITS_FIFO);
        registers.write(FIFO_LEVEL, 0);
        const ON_BOTH_WAYS: u32 = 1 | 1 << 8 | 1 << 9;
        registers.write(CONTROL, ON_BOTH_WAYS);
        registers.write(MASK, RECEIVED);
        Self { registers }
    }
}

impl<R: Registers> Uart for Pl011<R> {
    fn put(&mut self, byte: u8) -> bool {
        let has_room = self.registers.read(FLAGS) & TRANSMIT_FULL == 0;
        if has_room {
            self.registers.write(DATA, u32::from(byte));
        }
        has_room
    }

    fn get(&mut self) -> Option<u8> {
        // At most a FIFO of bytes with errors is passed over, so that a broken line cannot hold us here.
        for _ in 0..16 {
            if self.registers.read(FLAGS) & RECEIVE_EMPTY != 0 {
                return None;
            }
            let data = self.registers.read(DATA);
            if data & ERRORS == 0 {
                return Some(data as u8);
            }
        }
        None
    }

    fn acknowledge(&mut self) {
        self.registers.write(CLEAR, RECEIVED);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::VecDeque;
    use std::vec::Vec;

    use super::*;

    /// A line whose far end writes `incoming` and reads `sent`, with room for `room` bytes.
    #[derive(Default)]
    struct Simulated {
        incoming: VecDeque<u32>,
        sent: Vec<u8>,
        room: usize,
        mask: u32,
        cleared: u32,
        is_broken: bool,
    }

    impl Registers for Simulated {
        fn read(&mut self, offset: usize) -> u32 {
            match offset {
                FLAGS => {
                    let full = if self.sent.len() >= self.room { TRANSMIT_FULL } else { 0 };
                    let empty = if self.incoming.is_empty() && !self.is_broken { RECEIVE_EMPTY } else { 0 };
                    full | empty
                }
                DATA => self.incoming.pop_front().unwrap_or(ERRORS),
                other => panic!("reads {other:#x}"),
            }
        }

        fn write(&mut self, offset: usize, value: u32) {
            match offset {
                DATA => self.sent.push(value as u8),
                MASK => self.mask = value,
                CLEAR => self.cleared = value,
                LINE | FIFO_LEVEL | CONTROL => {}
                other => panic!("writes {other:#x}"),
            }
        }
    }

    #[test]
    fn a_full_device_is_not_written() {
        let mut uart = Pl011::new(Simulated { room: 2, ..Default::default() });
        assert!(uart.put(b'a') && uart.put(b'b'));
        assert!(!uart.put(b'c'));
        assert_eq!(uart.registers.sent, b"ab");
    }

    #[test]
    fn bytes_with_errors_are_passed_over() {
        let incoming = [u32::from(b'x'), 0x100 | 0x55, 0x400, u32::from(b'y')].into();
        let mut uart = Pl011::new(Simulated { incoming, ..Default::default() });
        assert_eq!((uart.get(), uart.get(), uart.get()), (Some(b'x'), Some(b'y'), None));
        uart.acknowledge();
        assert_eq!(uart.registers.cleared, RECEIVED);
    }

    #[test]
    fn a_line_of_errors_without_end_does_not_hold_the_driver() {
        let mut uart = Pl011::new(Simulated { is_broken: true, ..Default::default() });
        assert_eq!(uart.get(), None);
    }

    #[test]
    fn only_receiving_interrupts() {
        assert_eq!(Pl011::new(Simulated::default()).registers.mask, RECEIVED);
    }
}
