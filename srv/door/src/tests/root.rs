//! The way to the queen: when she is away, when nobody is she any more, and what workers may do meanwhile.

use super::tickets::{minted, minted_for, shown, try_to_show};
use super::*;
use ninep::srv::Op;
use ticket::Role;

fn root(hive: &mut Hive, client: &mut Client) -> String {
    let files = ["reachable", "cut_reason", "last_seen_ms"];
    files.map(|file| client.read(hive, &format!("/proc/root/{file}")).unwrap()).concat()
}

/// What the door has told the queen of it.
fn told(hive: &mut Hive) -> Vec<String> {
    let requests = hive.own.outbox().into_iter();
    let lines = requests.filter(|it| (it.server, &*it.path) == ("queen", "events")).map(|it| match it.op {
        Op::Write(line) => String::from_utf8(line).unwrap().trim_end().to_owned(),
        Op::Read => panic!("events are written"),
    });
    lines.collect()
}

const HERS: &str = "reachable=yes\ncut_reason=none\nlast_seen_ms=7\n";

#[test]
fn of_a_queen_who_is_away_the_door_says_that_she_is_and_since_when() {
    let mut hive = Hive::new();
    let mut queen = hive.queen();
    assert_eq!(root(&mut hive, &mut queen), HERS);
    hive.kill("queen", false);
    hive.after(500);
    let away = "reachable=no\ncut_reason=network_unreachable\nlast_seen_ms=1700000000000\n";
    assert_eq!(root(&mut hive, &mut queen), away);
    assert_eq!(queen.list(&mut hive, "/proc/root").unwrap(), ["cut_reason", "last_seen_ms", "reachable"]);
    assert_eq!(queen.write(&mut hive, "/proc/root/reachable", "yes\n"), Err(Word::Permission));
    let (held, _) = queen.walk(&mut hive, "/proc/root/reachable").unwrap();
    hive.down.borrow_mut().clear();
    assert_eq!(root(&mut hive, &mut queen), HERS);
    // A fid of then goes on with the door, which sees that she is back.
    assert_eq!(word(&queen.ask(&mut hive, &Tmsg::Lopen { fid: held, flags: 0 })), None);
    let reply = queen.ask(&mut hive, &Tmsg::Read { fid: held, offset: 0, count: 100 });
    assert!(matches!(wire::decode_r(&reply), Ok((_, Rmsg::Read { data: b"reachable=yes\n" }))));
    hive.kill("queen", false);
    assert!(root(&mut hive, &mut queen).starts_with("reachable=no\n"), "each time anew");
}

#[test]
fn while_the_queen_is_cut_off_workers_give_no_commands_and_beat_on() {
    let mut hive = Hive::with(|manifest| {
        let space = manifest.namespaces.get_mut("worker-heartbeat").unwrap();
        space.push_str("mount queen /queen\n");
    });
    let token = minted_for(&mut hive, Role::WorkerHeartbeat, "worker-1");
    let mut worker = try_to_show(&mut hive, &token, "worker-heartbeat:worker-1").unwrap();
    let mut queen = hive.queen();
    let mut both = |hive: &mut Hive| {
        let written = worker.write(hive, "/queen/ctl", "{}\n");
        (written, worker.write(hive, "/worker/worker-1/telemetry", "t\n"))
    };
    for reason in ["session_revoked", "policy_denied", "network_unreachable"] {
        assert_eq!(both(&mut hive), (Ok(()), Ok(())));
        hive.order(&format!("{{\"cut\":\"{reason}\"}}"));
        assert_eq!(both(&mut hive), (Err(Word::Cut), Ok(())), "{reason}");
        assert_eq!(queen.write(&mut hive, "/queen/ctl", "{}\n"), Ok(()), "{reason} is no matter of hers");
        hive.order("{\"cut\":\"none\"}");
    }
    hive.order("{\"phase\":\"OFFLINE\"}");
    assert_eq!(both(&mut hive), (Err(Word::Cut), Err(Word::Busy)));
    hive.order("{\"phase\":\"ONLINE\"}");
    assert_eq!(both(&mut hive), (Ok(()), Ok(())));
    assert_eq!(queen.read(&mut hive, "/proc/pressure/cut").unwrap(), "cut=4\n");
}

#[test]
fn that_the_last_session_of_a_queen_was_revoked_is_told_and_over_with_the_next() {
    const HOLDS: &str = r#"{"cut":{"reason":"session_revoked","holds":true}}"#;
    const OVER: &str = r#"{"cut":{"reason":"session_revoked","holds":false}}"#;
    let mut hive = Hive::new();
    let token = minted(&mut hive);
    let remote = shown(&mut hive, &token);
    let revoke = format!("{{\"revoke\":{{\"id\":\"{}\",\"reason\":\"by command\"}}}}", "07".repeat(16));
    let local = hive.queen();
    hive.order(&revoke);
    assert_eq!(told(&mut hive), [] as [&str; 0], "another is there");
    hive.door.disconnect(remote.slot);
    hive.door.disconnect(local.slot);
    assert_eq!(told(&mut hive), [] as [&str; 0], "who leaves was not revoked");

    let mut hive = Hive::new();
    let token = minted(&mut hive);
    shown(&mut hive, &token);
    hive.order(&revoke);
    assert_eq!(told(&mut hive), [HOLDS]);
    hive.order("{\"cut\":\"session_revoked\"}");
    assert_eq!(told(&mut hive), [] as [&str; 0]);
    hive.queen();
    assert_eq!(told(&mut hive), [OVER]);
    // One who came before the queen had said so.
    hive.order("{\"cut\":\"session_revoked\"}");
    assert_eq!(told(&mut hive), [OVER]);
    hive.order("{\"cut\":\"none\"}");
    hive.queen();
    assert_eq!(told(&mut hive), [] as [&str; 0]);
}
