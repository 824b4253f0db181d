//! The least that a durable record can cost: a line of a record's length appended to a file, and the
//! file's data made durable, over and over for a second.
//!
//!     sync FILE       prints `sync count=… mean_us=…`

use std::io::Write;
use std::time::{Duration, Instant};

/// Of a spawn's record.
const LINE: usize = 300;

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_default();
    let mut file = std::fs::File::create(path)?;
    let line = [b'x'; LINE];
    let (begin, mut count) = (Instant::now(), 0_u32);
    while begin.elapsed() < Duration::from_secs(1) {
        file.write_all(&line)?;
        file.sync_data()?;
        count += 1;
    }
    println!("sync count={count} mean_us={:.1}", begin.elapsed().as_secs_f64() * 1e6 / f64::from(count));
    Ok(())
}
