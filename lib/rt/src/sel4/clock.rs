//! The clock and the source of randomness: the machine's counter, and the seed that the root task gave this
//! life of the process.

use core::convert::Infallible;
use core::sync::atomic::{AtomicU64, Ordering};
use ninep::srv::Now;
use sha2::{Digest as _, Sha256};

/// The time now. The monotonic part counts from the machine's reset.
pub fn now() -> Now {
    let mono_ms = task::now_ms();
    Now { mono_ms, wall_ms: task::lives().reset_ms.load(Ordering::Relaxed) + mono_ms }
}

static DRAWN: AtomicU64 = AtomicU64::new(0);

/// Fills `out` with bytes that nobody can guess: those of SHA-256 over the seed and a count.
pub fn entropy(out: &mut [u8]) -> Result<(), Infallible> {
    for block in out.chunks_mut(32) {
        let mut hash = Sha256::new();
        hash.update(task::config().seed);
        hash.update(DRAWN.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        block.copy_from_slice(&hash.finalize()[..block.len()]);
    }
    Ok(())
}
