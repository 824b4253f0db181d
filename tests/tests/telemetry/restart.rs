//! The server of telemetry dies under load, and comes back.

use crate::{count, new_segment, ready};
use ninep::dial::DialError;
use ninep::refusal::Word;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tests::Hive;

/// What a writer may see of the server's death.
fn is_defined(error: &DialError) -> bool {
    matches!(error.word(), Some(Word::Busy | Word::Closed | Word::Revoked))
}

fn record(writer: u64, n: u64) -> String {
    format!("writer {writer} record {n} {}\n", "x".repeat((n % 300) as usize))
}

#[test]
fn writers_are_told_busy_and_go_on_and_what_was_synced_is_whole() {
    const WRITERS: u64 = 4;
    let hive = ready(Hive::start(&[]));
    let segments: Vec<String> = (0..WRITERS).map(|w| new_segment(&hive, &format!("dev-{w}"))).collect();
    let stop = AtomicBool::new(false);
    let written: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let synced: Vec<u64> = std::thread::scope(|scope| {
        let mut writers = Vec::new();
        for (w, segment) in (0..).zip(&segments) {
            let (hive, stop, written) = (&hive, &stop, &written);
            writers.push(scope.spawn(move || {
                let mut conn = hive.dial().unwrap();
                let (mut next, mut synced, mut fid) = (0, 0, None);
                while !stop.load(Ordering::Relaxed) {
                    let outcome = match fid {
                        None => conn.open_path(segment, 2).map(|opened| fid = Some(opened)),
                        Some(open) => {
                            conn.write_at(open, u64::MAX, record(w, next).as_bytes()).and_then(|_| {
                                next += 1;
                                written[w as usize].store(next, Ordering::Relaxed);
                                if next % 16 == 0 {
                                    conn.call(&ninep::wire::Tmsg::Fsync { fid: open, datasync: 0 })?;
                                    synced = next;
                                }
                                Ok(())
                            })
                        }
                    };
                    if let Err(error) = outcome {
                        assert!(is_defined(&error), "{error}");
                        fid = None;
                        // What was last is in doubt: it is there or not. It is looked up as anybody would.
                        next = loop {
                            std::thread::sleep(Duration::from_millis(20));
                            match conn.read_all(segment) {
                                Ok(text) => break String::from_utf8(text).unwrap().lines().count() as u64,
                                Err(error) => assert!(is_defined(&error), "{error}"),
                            }
                        };
                    }
                }
                synced
            }));
        }
        let reader = scope.spawn(|| {
            let mut conn = hive.dial().unwrap();
            while !stop.load(Ordering::Relaxed) {
                conn.read_all("/proc/version").unwrap();
                conn.read_all("/proc/lifecycle/state").unwrap();
            }
        });
        for _ in 0..5 {
            let goes_on = |writer: &AtomicU64| {
                let before = writer.load(Ordering::Relaxed);
                tests::until("a writer goes on", || writer.load(Ordering::Relaxed) > before + 20);
            };
            written.iter().for_each(goes_on);
            hive.kill("telemetry");
        }
        written.iter().for_each(|writer| {
            let before = writer.load(Ordering::Relaxed);
            tests::until("a writer goes on", || writer.load(Ordering::Relaxed) > before + 20);
        });
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    for ((w, segment), synced) in (0..).zip(&segments).zip(synced) {
        let text = hive.read(segment).unwrap();
        let want = (0..text.lines().count() as u64).map(|n| record(w, n));
        let wrong = text.split_inclusive('\n').zip(want).find(|(line, want)| line != want);
        assert_eq!(wrong, None, "writer {w}: whole records, in order, each once");
        assert!(text.lines().count() as u64 >= synced, "writer {w}: {synced} were synced");
    }
    assert_eq!(hive.field("door", "restarts"), "0");
}

#[test]
fn segments_are_in_the_journal_and_replay_leaves_them_alone() {
    let hive = ready(Hive::start(&[]));
    new_segment(&hive, "d");
    let journal = hive.read("/audit/journal").unwrap();
    let line = journal.lines().find(|line| line.contains("/queen/telemetry/d/ctl")).unwrap();
    assert!(
        line.contains(r#""cmd":{"new":"segment","mime":"text/plain"},"ack":"OK NEW seg=seg-000001""#),
        "{line}"
    );
    let replay = hive.print("cohreplay", &[]);
    assert!(replay.starts_with("ok records="), "{replay}");
}

#[test]
fn a_quiesced_hive_takes_no_telemetry_and_a_draining_one_does() {
    let hive = ready(Hive::start(&[]));
    let segment = new_segment(&hive, "d");
    let mut conn = hive.dial().unwrap();
    let life = |word: &str| hive.command("/queen/lifecycle/ctl", &format!("{word}\n")).unwrap();
    life("cordon");
    crate::append(&mut conn, &segment, b"draining\n").unwrap();
    life("quiesce");
    let busy = |error: DialError| error.word();
    assert_eq!(crate::append(&mut conn, &segment, b"quiesced\n").map_err(busy), Err(Some(Word::Busy)));
    assert_eq!(crate::refused(&hive, "/queen/telemetry/d/ctl", "{\"new\":\"segment\"}"), Word::Busy);
    assert_eq!(count(&hive, "backpressure"), 1);
    hive.kill("telemetry");
    tests::until("the state is known again", || {
        crate::append(&mut conn, &segment, b"quiesced\n").map_err(busy) == Err(Some(Word::Busy))
    });
    life("resume");
    crate::append(&mut conn, &segment, b"online\n").unwrap();
    let text = hive.read(&segment).unwrap();
    assert!(text.starts_with("draining\n") && text.ends_with("online\n"), "{text}");
}
