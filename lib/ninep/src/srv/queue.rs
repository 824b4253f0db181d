//! Bytes that wait to be sent, and how many of them have gone.

use alloc::vec::Vec;

/// `n` more bytes of `out`, of which `sent` had gone before, have gone. A queue that is never empty holds no more than
/// twice what waits in it; each byte is moved once at most for each that has gone.
pub fn consume(out: &mut Vec<u8>, sent: &mut usize, n: usize) {
    *sent += n;
    assert!(*sent <= out.len(), "no more is sent than was there");
    if *sent == out.len() {
        out.clear();
        *sent = 0;
    } else if *sent > out.len() / 2 {
        out.drain(..*sent);
        *sent = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_never_empty_does_not_grow() {
        let (mut out, mut sent, mut next) = (Vec::new(), 0, 0u8);
        let mut due = 0u8;
        for _ in 0..100_000 {
            for _ in 0..7 {
                out.push(next);
                next = next.wrapping_add(1);
            }
            // Some of it stays each time, until there is enough to take as much as came.
            let n = if out.len() - sent > 1000 { 7 } else { 3 };
            for byte in &out[sent..sent + n] {
                assert_eq!(*byte, due);
                due = due.wrapping_add(1);
            }
            consume(&mut out, &mut sent, n);
            assert!(out.len() - sent > 0 && out.len() < 2100, "{} of {}", out.len() - sent, out.len());
        }
        let rest = out.len() - sent;
        consume(&mut out, &mut sent, rest);
        assert_eq!((out.len(), sent), (0, 0));
    }
}
