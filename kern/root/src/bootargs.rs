//! What the boot program was told: `/chosen/bootargs` of the device tree, of which one word is for the root task.

/// Says on how many cores the hive is to run.
const CORES: &[u8] = b"cohesix.cores=";

/// How many of the kernel's cores the hive is to use: as many as the device tree says, and all where it says nothing.
#[must_use]
pub fn cores(tree: &[u8], kernel: u64) -> u64 {
    let at = tree.windows(CORES.len()).position(|bytes| bytes == CORES);
    let digits = at.and_then(|at| tree.get(at + CORES.len()..)).unwrap_or(&[]);
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let wanted = digits.fold(0u64, |sum, byte| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0')));
    if wanted == 0 { kernel } else { wanted.min(kernel) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_cores_than_the_kernel_has_are_used_where_the_boot_program_says_so() {
        assert_eq!(cores(b"\0chosen\0cohesix.cores=1\0\0", 4), 1);
        assert_eq!(cores(b"quiet cohesix.cores=2 more\0", 4), 2);
        assert_eq!(cores(b"cohesix.cores=3", 4), 3);
    }

    #[test]
    fn all_are_used_where_it_says_nothing_that_can_be() {
        for tree in
            [&b""[..], b"cohesix.cores=", b"cohesix.cores=0\0", b"cohesix.cores=x", b"cohesix.cores=99"]
        {
            assert_eq!(cores(tree, 4), 4, "{tree:?}");
        }
        assert_eq!(cores(b"cohesix.cores=99999999999999999999999\0", 4), 4);
    }
}
