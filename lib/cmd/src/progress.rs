//! How far a long transfer is: one line on standard error that is drawn over, where a person looks at it.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(100);
const WIDTH: u64 = 30;

/// A transfer of so many bytes.
pub struct Progress {
    what: String,
    total: u64,
    done: u64,
    began: Instant,
    drawn: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// Begins one; nothing is shown where standard error is no terminal.
    pub fn new(what: impl Into<String>, total: u64) -> Progress {
        let is_shown = io::stderr().is_terminal();
        Progress { what: what.into(), total, done: 0, began: Instant::now(), drawn: None, is_shown }
    }

    /// So many more bytes are done.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.is_shown && self.drawn.is_none_or(|drawn| drawn.elapsed() >= EVERY) {
            self.drawn = Some(Instant::now());
            self.draw(&line(&self.what, self.done, self.total, self.began.elapsed()));
        }
    }

    fn draw(&self, line: &str) {
        // A terminal that is gone has nobody in front of it.
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            self.draw("");
        }
    }
}

/// `cam.bin [#####-----]  50 %  12.0 of 24.0 MB, 3.0 MB/s`.
fn line(what: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let part = |of: u64| (done.min(total) * of).checked_div(total).unwrap_or(of);
    let bar: String = (0..WIDTH).map(|i| if i < part(WIDTH) { '#' } else { '-' }).collect();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let rate = mb(done) / elapsed.as_secs_f64().max(0.001);
    format!("{what} [{bar}] {:3} %  {:.1} of {:.1} MB, {rate:.1} MB/s", part(100), mb(done), mb(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        let half = line("cam.bin", 12_000_000, 24_000_000, Duration::from_secs(4));
        assert!(half.contains("]  50 %  12.0 of 24.0 MB, 3.0 MB/s"), "{half}");
        assert_eq!(half.matches('#').count(), 15);
        assert!(line("empty", 0, 0, Duration::ZERO).contains("100 %"));
    }
}
