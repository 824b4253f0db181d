//! What servers tell of their inside, on a real hive: whom it reaches, what is in it, and what is not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::Conn;
use ninep::refusal::Word;
use tests::{Hive, until};

fn set(hive: &Hive, level: &str, cats: &str) {
    let line = format!("{{\"set\":{{\"level\":\"{level}\",\"cats\":[{cats}]}}}}\n");
    let ack = hive.command("/trace/ctl", &line).unwrap();
    assert!(ack.starts_with(&format!("OK SET level={level} cats=")), "{ack}");
}

fn has(hive: &Hive, path: &str, words: &[&str]) -> bool {
    let text = hive.read(path).unwrap_or_default();
    text.lines().any(|line| words.iter().all(|word| line.contains(word)))
}

/// The number of an event, after `{"seq":`.
fn seq(line: &str) -> u64 {
    line.strip_prefix("{\"seq\":").and_then(|rest| rest.split_once(',')).unwrap().0.parse().unwrap()
}

#[test]
fn starts_and_sessions_and_lost_servers_are_told_to_whom_asked() {
    let hive = Hive::start(&[]);
    let events = "/trace/events";
    set(&hive, "info", "\"boot\",\"session\"");
    let reader = hive.dial().unwrap();
    until("a session is told", || {
        has(&hive, events, &["\"cat\":\"session\"", "attached owner=queen ticket=none"])
    });
    drop(reader);
    until("its end is told", || has(&hive, events, &["\"cat\":\"session\"", " ended owner=queen"]));
    hive.kill("proc");
    let up = ["\"task\":\"proc\"", "\"cat\":\"boot\"", "\"text\":\"up pid="];
    until("the start is told", || has(&hive, events, &up));
    assert!(has(&hive, "/proc/proc/trace", &up) && has(&hive, "/kmesg", &["] proc: up pid="]));
    assert!(!has(&hive, events, &["\"cat\":\"ninep\""]), "nobody asked for these");

    set(&hive, "error", "\"peer\"");
    hive.kill("log");
    let lost = ["\"cat\":\"peer\",\"level\":\"error\"", "\"text\":\"log: "];
    until("who spoke to it tells that it is gone", || has(&hive, events, &lost));
    until("so does kmesg", || has(&hive, "/kmesg", &["log: its connection is over"]));
}

#[test]
fn every_server_has_its_events_where_those_who_see_proc_find_them() {
    let hive = Hive::start(&[]);
    set(&hive, "debug", "\"ninep\"");
    let status = hive.print("coh", &["status"]);
    let servers: Vec<&str> = status
        .lines()
        .filter(|line| line.contains(" restarts="))
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert!(servers.len() >= 10, "{status}");
    let ticket = hive.print("cohticket", &["mint", "--role", "observer", "--ttl", "1h"]);
    let mut watcher = hive.dial_as("observer", &ticket).unwrap();
    for server in servers {
        let path = format!("/proc/{server}/trace");
        let task = format!("\"task\":\"{server}\"");
        // The server of traces does not tell of itself what it would tell for ever.
        until(server, || server == "trace" || has(&hive, &path, &[&task]));
        let own = hive.read(&path).unwrap();
        assert!(own.lines().all(|line| line.contains(&task)), "{path}:\n{own}");
        let text = watcher.read_all(&path).unwrap();
        assert!(server == "trace" || !text.is_empty(), "{path} by an observer");
        assert_eq!(watcher.open_path(&path, 1).unwrap_err().word(), Some(Word::Permission), "{path}");
    }
}

#[test]
fn events_have_no_gaps_and_none_is_kept_for_a_later_filter() {
    let hive = Hive::start(&[]);
    set(&hive, "debug", "\"boot\",\"ninep\",\"peer\"");
    let mut conn = hive.dial().unwrap();
    let ask = |conn: &mut Conn| (0..200).for_each(|_| drop(conn.read_all("/proc/boot").unwrap()));
    ask(&mut conn);
    set(&hive, "off", "");
    // Whatever was on its way has come when nothing more does.
    let mut last = String::new();
    until("it is quiet", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let text = hive.read("/trace/events").unwrap();
        core::mem::replace(&mut last, text.clone()) == text
    });
    ask(&mut conn);
    set(&hive, "info", "\"control\"");
    until("the next filter works", || {
        hive.command("/queen/ctl", "{\"budget\":{\"ops\":5}}\n").unwrap();
        has(&hive, "/trace/events", &["\"cat\":\"control\""])
    });
    let text = hive.read("/trace/events").unwrap();
    let late = text.strip_prefix(&last).unwrap();
    assert!(!late.contains("\"cat\":\"ninep\""), "{late}");
    let seqs: Vec<u64> = text.lines().map(seq).collect();
    assert!(seqs.len() > 200 && seqs.windows(2).all(|pair| pair[1] == pair[0] + 1));
}

#[test]
fn a_filter_of_unknown_words_is_invalid_and_changes_nothing() {
    let hive = Hive::start(&[]);
    set(&hive, "error", "\"boot\"");
    for line in [
        r#"{"set":{"level":"loud","cats":["boot"]}}"#,
        r#"{"set":{"level":"DEBUG","cats":["boot"]}}"#,
        r#"{"set":{"level":"debug","cats":["boots"]}}"#,
        r#"{"set":{"level":"debug","cats":"boot"}}"#,
        r#"{"set":{"level":"debug"}}"#,
        r#"{"set":{"cats":["boot"]}}"#,
        r#"{"set":{"level":"debug","cats":["boot"],"more":1}}"#,
        r#"{"set":{"level":"debug","cats":["boot"]}} {}"#,
        r#"{"set":[]}"#,
        "{}",
        "[]",
        "debug boot",
    ] {
        let error = hive.command("/trace/ctl", &format!("{line}\n")).unwrap_err();
        assert_eq!(error.word(), Some(Word::Invalid), "{line}");
        assert_eq!(hive.read("/trace/filter").unwrap(), "level=error cats=boot\n", "{line}");
    }
    let long = format!("{{\"set\":{{\"level\":\"debug\",\"cats\":[\"{}\"]}}}}\n", "x".repeat(600));
    assert_eq!(hive.command("/trace/ctl", &long).unwrap_err().word(), Some(Word::TooBig));
}
