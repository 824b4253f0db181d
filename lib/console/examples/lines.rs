//! How many lines a second one core reads: `lines [SECONDS]`. What a session writes, in the mix of
//! tests/transcripts: verbs, paths, JSON, and lines that are none.

use console::{Editor, Verb};
use std::time::{Duration, Instant};

const LINES: &str = concat!(
    "ping\ncat /proc/boot\nls /queen\ntail /worker/worker-17/telemetry\nfrobnicate\n",
    "echo {\"kill\":\"worker-3\"} > /queen/ctl\nspawn heartbeat ticks=100 budget.ttl_s=120\n",
    "kill worker-9\nbind /proc /p\ntest --mode full --json --timeout 30\ncat proc/version\nlog\n"
);

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let time = Duration::from_secs_f64(seconds);
    let (mut editor, mut lines, mut verbs) = (Editor::new(), 0_u64, 0_u64);
    let start = Instant::now();
    while start.elapsed() < time {
        for byte in LINES.bytes().cycle().take(LINES.len() * 256) {
            if editor.feed(byte) {
                lines += 1;
                verbs += u64::from(Verb::of(editor.line()).is_ok());
            }
        }
    }
    let per_s = lines as f64 / start.elapsed().as_secs_f64();
    println!("console lines={lines} verbs={verbs} per_s={per_s:.0}");
}
