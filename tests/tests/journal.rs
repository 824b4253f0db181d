//! The journal of a real hive: what was acknowledged is in it, whoever dies and whatever the disk does
//! (spec 6; G1 and G11 of the fault plan).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::DialError;
use ninep::refusal::Word;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::journal::verify;
use tests::{Hive, until};

/// A command whose record can be told from all others, and the seq of its acknowledgement.
fn command(hive: &Hive, ttl_s: u64) -> Result<u64, DialError> {
    let ack = hive.command("/queen/ctl", &format!("{{\"budget\":{{\"ttl_s\":{ttl_s}}}}}\n"))?;
    assert!(ack.starts_with("OK BUDGET seq="), "{ack}");
    Ok(ack.trim().rsplit('=').next().unwrap().parse().unwrap())
}

/// The seqs under which the journal has a command.
fn recorded(journal: &str, ttl_s: u64) -> Vec<u64> {
    let cmd = format!("\"cmd\":{{\"budget\":{{\"ttl_s\":{ttl_s}}}}},\"ack\":\"OK BUDGET\"");
    let lines = journal.lines().filter(|line| line.contains(&cmd));
    lines.map(|line| line["{\"seq\":".len()..].split(',').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn what_was_acknowledged_is_in_the_journal_whoever_is_killed() {
    let hive = Hive::start(&[]);
    let stop = AtomicBool::new(false);
    let acked: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut acked = Vec::new();
            for ttl_s in 1_000_000.. {
                match command(&hive, ttl_s) {
                    Ok(seq) => acked.push((ttl_s, seq)),
                    Err(error) => {
                        // Refused, or in the dark: it may have happened all the same.
                        let is_passing = |word| matches!(word, Word::Busy | Word::Closed | Word::Revoked);
                        assert!(error.word().is_none_or(is_passing), "{error}");
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            acked
        });
        for _ in 0..3 {
            for server in ["audit", "queen", "door"] {
                hive.kill(server);
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        stop.store(true, Ordering::Relaxed);
        client.join().unwrap()
    });
    assert!(acked.len() > 100, "only {} commands were taken", acked.len());
    until("the queen takes commands", || command(&hive, 7).is_ok());
    let journal = hive.read("/audit/journal").unwrap();
    for (ttl_s, seq) in &acked {
        assert_eq!(recorded(&journal, *ttl_s), [*seq], "ttl_s={ttl_s} was acknowledged once");
    }
    let said = hive.read("/audit/verify").unwrap();
    assert!(said.starts_with("ok records="), "{said}");
    let replayed = hive.print("cohreplay", &[]);
    assert!(replayed.starts_with("ok records=") && !replayed.contains("unknown"), "{replayed}");
    verify(&hive);
}

#[test]
fn the_journal_goes_on_after_the_hive_was_down() {
    let hive = Hive::start(&[]);
    let seq = command(&hive, 1_000_000).unwrap();
    verify(&hive);
    assert!(hive.up(&[]).status.success());
    let later = command(&hive, 1_000_001).unwrap();
    assert!(later > seq);
    let journal = hive.read("/audit/journal").unwrap();
    assert_eq!((recorded(&journal, 1_000_000), recorded(&journal, 1_000_001)), (vec![seq], vec![later]));
    let boots = journal.lines().filter(|line| line.contains("\"kind\":\"boot\"")).count();
    assert_eq!(boots, 2);
    let replayed = hive.print("cohreplay", &[]);
    assert!(replayed.starts_with("ok records="), "{replayed}");
}

/// Every fdatasync of the journal fails for a while. It needs the right to trace another process.
#[test]
fn a_disk_that_refuses_stops_commands_and_nothing_else() {
    let hive = Hive::start(&[]);
    let before = command(&hive, 1_000_000).unwrap();
    let pid = hive.field("audit", "pid");
    let strace = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync"])
        .args(["-e", "inject=fdatasync,fsync:error=EIO", "-p", &pid])
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut strace) = strace else { return eprintln!("skipped: no strace") };
    let mut refused = Vec::new();
    for ttl_s in 2_000_000..2_000_500 {
        if strace.try_wait().unwrap().is_some() {
            return eprintln!("skipped: this user may not trace");
        }
        match command(&hive, ttl_s) {
            Ok(_) if refused.is_empty() => {}
            Ok(seq) => panic!("seq={seq} was acknowledged by a disk that refuses"),
            Err(error) => {
                assert_eq!(error.word(), Some(Word::Busy), "{error}");
                refused.push(ttl_s);
            }
        }
        if refused.len() >= 10 {
            break;
        }
    }
    assert!(refused.len() >= 10, "the disk did not refuse");
    // Reads go on, from the journal too.
    assert_eq!(hive.read("/proc/lifecycle/state").unwrap(), "state=ONLINE\n");
    assert_eq!(recorded(&hive.read("/audit/journal").unwrap(), 1_000_000), [before]);
    strace.kill().unwrap();
    strace.wait().unwrap();
    until("commands are taken again", || command(&hive, 3_000_000).is_ok());
    assert_eq!(hive.field("audit", "restarts"), "0");
    let journal = hive.read("/audit/journal").unwrap();
    for ttl_s in refused {
        assert!(recorded(&journal, ttl_s).is_empty(), "{ttl_s} was refused, and is recorded");
    }
    let log = hive.read("/log/queen.log").unwrap();
    assert!(log.contains("audit takes no records: ") && log.contains("audit takes records again"));
    assert!(hive.print("cohreplay", &[]).starts_with("ok records="));
    verify(&hive);
}

#[test]
fn nobody_but_the_queen_sees_the_journal_and_nobody_writes_it() {
    let hive = Hive::start(&[]);
    let mut conn = hive.dial().unwrap();
    let error = conn.open_path("/audit/journal", 1).unwrap_err();
    assert_eq!(error.word(), Some(Word::Permission), "{error}");
    assert!(hive.read("/audit/key").unwrap().trim().len() == 64);
    for (line, word) in [
        (r#"{"from":0,"to":1000000}"#, Word::Invalid),
        (r#"{"from":2,"to":1}"#, Word::Invalid),
        (r#"{"from":0}"#, Word::Invalid),
        ("0 5", Word::Invalid),
    ] {
        assert_eq!(hive.command("/replay/ctl", line).unwrap_err().word(), Some(word), "{line}");
    }
}

#[test]
fn a_directory_is_held_to_the_head_that_the_hive_keeps_there() {
    let hive = Hive::start(&[]);
    command(&hive, 1_000_000).unwrap();
    assert!(hive.coh(&["down"]).status.success());
    let dir = hive.path("data/journal");
    let (head, segment) = (dir.join("head"), dir.join("00000000000000000001.jsonl"));
    let verify = || {
        let output = hive.program("cohverify", &[dir.to_str().unwrap()]);
        let [said, wrong] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.success(), said + &wrong)
    };
    let (is_ok, said) = verify();
    let field = |key: &str| said.split(' ').find_map(|field| field.strip_prefix(key)).unwrap().to_owned();
    assert!(is_ok && field("kept=") == field("last="), "{said}");

    // A chain that ends earlier is a whole one: the head alone knows better.
    let (kept, whole) = (fs::read(&head).unwrap(), fs::read(&segment).unwrap());
    let cut = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&segment, &whole[..cut]).unwrap();
    let (is_ok, said) = verify();
    assert!(!is_ok && said.contains("fault=short"), "{said}");
    fs::remove_file(&head).unwrap();
    let (is_ok, said) = verify();
    assert!(is_ok && !said.contains("kept="), "{said}");

    fs::write(&segment, &whole).unwrap();
    fs::write(&head, &kept[1..]).unwrap();
    let (is_ok, said) = verify();
    assert!(!is_ok && said.contains("not the head of a journal"), "{said}");
}
