//! Arm's PL031 clock (DDI 0224): the seconds since 1970.

use hal::Registers;

const DATA: usize = 0;

/// The time, as the firmware has set the clock.
pub fn seconds(registers: &mut impl Registers) -> u32 {
    registers.read(DATA)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Simulated;

    impl Registers for Simulated {
        fn read(&mut self, offset: usize) -> u32 {
            assert_eq!(offset, 0);
            1_795_000_000
        }

        fn write(&mut self, offset: usize, _: u32) {
            panic!("writes {offset:#x}");
        }
    }

    #[test]
    fn the_clock_is_only_read() {
        assert_eq!(seconds(&mut Simulated), 1_795_000_000);
    }
}
