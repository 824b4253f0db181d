//! What a ticket's limits come to at the door.

use super::*;
use ticket::{Attenuation, Budget, Claims, IssuerKey, Quota, Role, Scope, Token, Verbs};

const WALL_MS: u64 = 1_700_000_000_000;

pub(super) fn minted(hive: &mut Hive) -> Token {
    minted_for(hive, Role::Queen, "")
}

pub(super) fn minted_for(hive: &mut Hive, role: Role, subject: &str) -> Token {
    minted_with(hive, role, subject, [7; 16])
}

fn minted_with(hive: &mut Hive, role: Role, subject: &str, id: [u8; 16]) -> Token {
    let key = IssuerKey::generate([1; 32]);
    hive.door.admission.keys.add("dev", &key.public_hex()).unwrap();
    let claims = Claims {
        hive: "hive".into(),
        id,
        role,
        subject: subject.into(),
        issued_ms: WALL_MS,
        expires_ms: WALL_MS + 3_600_000,
        budget: Budget::default(),
        scopes: Vec::new(),
        quota: Quota::default(),
    };
    ticket::mint(&claims, &key, [2; 32], &hive.door.admission.bounds).unwrap()
}

fn scope(path: &str, verbs: Verbs) -> Option<Vec<Scope>> {
    Some(vec![Scope { path: path.into(), verbs, rate_per_s: 0 }])
}

pub(super) fn shown(hive: &mut Hive, token: &Token) -> Client {
    try_to_show(hive, token, "queen").unwrap()
}

pub(super) fn try_to_show(hive: &mut Hive, token: &Token, uname: &str) -> Result<Client, Word> {
    let mut client = hive.connect(Rules { local_queen: false, ..unix() });
    client.version(hive);
    let text = token.reveal();
    let attach = Tmsg::Attach { fid: 0, afid: NOFID, uname, aname: &text, n_uname: 0 };
    match word(&client.ask(hive, &attach)) {
        None => Ok(client),
        Some(word) => Err(word),
    }
}

#[test]
fn a_hive_that_drains_lets_telemetry_finish_and_no_worker_in() {
    let mut hive = Hive::new();
    let token = minted_for(&mut hive, Role::WorkerHeartbeat, "worker-1");
    let uname = "worker-heartbeat:worker-1";
    let telemetry = "/worker/worker-1/telemetry";
    let mut worker = try_to_show(&mut hive, &token, uname).unwrap();
    let mut queen = hive.queen();
    let mut states = |hive: &mut Hive, phase: &str| {
        hive.order(&format!("{{\"phase\":\"{phase}\"}}"));
        let comes_in = try_to_show(hive, &token, uname).map(|client| hive.door.disconnect(client.slot));
        let writes = worker.write(hive, telemetry, "t\n");
        (comes_in, writes, queen.read(hive, "/proc/9p/session/active").unwrap())
    };
    let (active, draining) = ("active=2 draining=0\n", "active=1 draining=1\n");
    assert_eq!(states(&mut hive, "DEGRADED"), (Ok(()), Ok(()), active.into()));
    assert_eq!(states(&mut hive, "DRAINING"), (Err(Word::Busy), Ok(()), draining.into()));
    assert_eq!(states(&mut hive, "QUIESCED"), (Err(Word::Busy), Err(Word::Busy), draining.into()));
    assert_eq!(states(&mut hive, "OFFLINE"), (Err(Word::Busy), Err(Word::Busy), draining.into()));
    assert_eq!(states(&mut hive, "ONLINE"), (Ok(()), Ok(()), active.into()));
}

#[test]
fn a_narrowed_ticket_is_held_to_its_own_limits_while_its_parent_is_in_use() {
    let mut hive = Hive::new();
    let parent = minted(&mut hive);
    let less = Attenuation {
        scopes: scope("/queen/ctl", Verbs::Read),
        budget: Some(Budget { ops: Some(4), ..Budget::default() }),
        expires_ms: Some(WALL_MS + 1000),
        ..Attenuation::default()
    };
    let child = parent.narrow(&less, [3; 32]).unwrap();
    let mut queen = shown(&mut hive, &parent);
    let mut friend = shown(&mut hive, &child);
    assert_eq!(queen.write(&mut hive, "/queen/ctl", "{}\n"), Ok(()));
    assert_eq!(friend.write(&mut hive, "/queen/ctl", "{}\n"), Err(Word::Permission));
    hive.after(1000);
    assert_eq!(friend.walk(&mut hive, "/queen/ctl").map(|_| ()), Err(Word::Revoked));
    assert_eq!(queen.write(&mut hive, "/queen/ctl", "{}\n"), Ok(()));
}

#[test]
fn a_spent_limit_is_for_the_journal_once_a_second() {
    let mut hive = Hive::new();
    hive.door.facts.borrow_mut().records = ninep::srv::Records::new(true);
    let scopes = Some(vec![Scope { path: "/queen/ctl".into(), verbs: Verbs::Both, rate_per_s: 3 }]);
    let less = Attenuation { scopes, ..Attenuation::default() };
    let child = minted(&mut hive).narrow(&less, [3; 32]).unwrap();
    let mut queen = shown(&mut hive, &child);
    let fid = queen.open(&mut hive, "/queen/ctl", 1).unwrap();
    for told in [1, 2] {
        let write = Tmsg::Write { fid, offset: u64::MAX, data: b"{}\n" };
        let refused = (0..40).filter(|_| word(&queen.ask(&mut hive, &write)) == Some(Word::Quota)).count();
        assert!(refused > 20, "{refused}");
        let mut facts = hive.door.facts.borrow_mut();
        let counted = facts.refused[1];
        assert!(counted >= told * 20, "{counted}");
        let said = facts.records.append(1, hive.now).map(|append| append.op);
        let Some(ninep::srv::Op::Write(line)) = said else { panic!("one is told") };
        assert_eq!(String::from_utf8(line).unwrap().matches("reason=quota").count(), 1);
        facts.records.appended(Ok(()), hive.now);
        drop(facts);
        hive.after(1000);
    }
}

#[test]
fn a_read_beyond_a_tickets_limits_is_for_the_journal_as_well() {
    let mut hive = Hive::new();
    hive.door.facts.borrow_mut().records = ninep::srv::Records::new(true);
    let child = minted(&mut hive).narrow(&budget(Some(1), None, None), [3; 32]).unwrap();
    let mut client = shown(&mut hive, &child);
    for _ in 0..5 {
        let _ = client.walk(&mut hive, "/proc/boot");
    }
    let said = hive.door.facts.borrow_mut().records.append(1, hive.now).map(|append| append.op);
    let Some(ninep::srv::Op::Write(line)) = said else { panic!("one is told") };
    let line = String::from_utf8(line).unwrap();
    assert_eq!(line.matches("ERR READ reason=quota").count(), 1, "{line}");
}

#[test]
fn to_narrow_or_attach_again_does_not_renew_a_budget() {
    let mut hive = Hive::new();
    let parent = minted(&mut hive);
    let ops = |ops| Attenuation {
        budget: Some(Budget { ops: Some(ops), ..Budget::default() }),
        ..Attenuation::default()
    };
    let child = parent.narrow(&ops(5), [3; 32]).unwrap();
    for (seed, allowed) in [(4, true), (5, true), (6, true), (7, true), (8, true), (9, false), (10, false)] {
        let grandchild = child.narrow(&ops(3), [seed; 32]).unwrap();
        let mut client = shown(&mut hive, &grandchild);
        assert_eq!(client.walk(&mut hive, "/proc").is_ok(), allowed, "{seed}");
    }
    let mut queen = shown(&mut hive, &parent);
    assert!(queen.walk(&mut hive, "/proc").is_ok());
}

#[test]
fn a_scope_is_not_escaped_by_binding_things_into_it() {
    let mut hive = Hive::new();
    let less = Attenuation { scopes: scope("/proc", Verbs::Both), ..Attenuation::default() };
    let child = minted(&mut hive).narrow(&less, [3; 32]).unwrap();
    let mut client = shown(&mut hive, &child);
    assert_eq!(client.write(&mut hive, "/proc/9p/self/ns", "bind /queen /proc/q\n"), Err(Word::Permission));
    for path in ["/proc/q/ctl", "/queen/ctl"] {
        assert!(client.open(&mut hive, path, 0).is_err(), "{path}");
    }
}

/// A worker's ticket as the queen mints it.
fn queens_own(hive: &mut Hive, number: u64) -> Token {
    let hex = authority::worker_ticket("hive", number);
    let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
    minted_with(hive, Role::WorkerHeartbeat, &format!("worker-{number}"), std::array::from_fn(byte))
}

fn ended(runs: &str) -> String {
    format!("{{\"ended\":{{\"hive\":\"hive\",\"runs\":{runs},\"reason\":\"killed\"}}}}")
}

#[test]
fn a_worker_that_has_ended_is_let_in_no_more_and_others_of_its_name_are() {
    let mut hive = Hive::new();
    // What the queen's list begins with: nobody has ended.
    hive.order(&ended("[]"));
    let (first, second) = (queens_own(&mut hive, 1), queens_own(&mut hive, 2));
    let others = minted_for(&mut hive, Role::WorkerHeartbeat, "worker-1");
    let show = |hive: &mut Hive, token: &Token, name: &str| {
        try_to_show(hive, token, &format!("worker-heartbeat:{name}"))
    };
    let mut one = show(&mut hive, &first, "worker-1").unwrap();
    let mut two = show(&mut hive, &second, "worker-2").unwrap();
    let mut other = show(&mut hive, &others, "worker-1").unwrap();
    let reads = |hive: &mut Hive, client: &mut Client| client.read(hive, "/proc/boot").map(drop);
    for client in [&mut one, &mut two, &mut other] {
        assert_eq!(reads(&mut hive, client), Ok(()));
    }
    hive.order(&ended("[[1,1]]"));
    assert_eq!(reads(&mut hive, &mut one), Err(Word::Revoked));
    assert_eq!(reads(&mut hive, &mut two), Ok(()));
    assert_eq!(reads(&mut hive, &mut other), Ok(()));
    assert_eq!(show(&mut hive, &first, "worker-1").map(drop), Err(Word::Revoked));
    assert!(show(&mut hive, &others, "worker-1").is_ok());
    // Narrowed, it is the same ticket.
    let less = Attenuation { scopes: scope("/proc", Verbs::Read), ..Attenuation::default() };
    let child = first.narrow(&less, [3; 32]).unwrap();
    assert_eq!(show(&mut hive, &child, "worker-1").map(drop), Err(Word::Revoked));
    // A queen who has come back says all of it again.
    hive.order(&ended("[[1,1],[3,70000]]"));
    assert_eq!(reads(&mut hive, &mut two), Ok(()));
    hive.order(&ended("[[1,70000]]"));
    assert_eq!(reads(&mut hive, &mut two), Err(Word::Revoked));
    let third = queens_own(&mut hive, 69_999);
    assert_eq!(show(&mut hive, &third, "worker-69999").map(drop), Err(Word::Revoked));
    assert_eq!(reads(&mut hive, &mut other), Ok(()));
}

#[test]
fn what_an_ended_worker_had_used_up_takes_no_room() {
    let mut hive = Hive::new();
    hive.order(&ended("[]"));
    for number in 1..=50 {
        let token = queens_own(&mut hive, number);
        let client = try_to_show(&mut hive, &token, &format!("worker-heartbeat:worker-{number}")).unwrap();
        hive.door.disconnect(client.slot);
        assert_eq!(hive.door.facts.borrow().accounts.len(), 1);
        hive.order(&ended(&format!("[[{number},{number}]]")));
        assert_eq!(hive.door.facts.borrow().accounts.len(), 0);
    }
}

#[test]
fn a_scope_is_not_escaped_by_what_follows_a_walk_that_fails() {
    let mut hive = Hive::new();
    let less = Attenuation { scopes: scope("/log/none", Verbs::Both), ..Attenuation::default() };
    let child = minted(&mut hive).narrow(&less, [3; 32]).unwrap();
    hive.queen().write(&mut hive, "/log/queen.log", "secret\n").unwrap();
    for is_flushed in [false, true] {
        let mut client = shown(&mut hive, &child);
        let (log, _) = client.walk(&mut hive, "/log").unwrap();
        let mut bytes = Vec::new();
        Tmsg::Walk { fid: log, newfid: log, names: Names::from(&["none"][..]) }.encode(500, &mut bytes);
        if is_flushed {
            Tmsg::Flush { oldtag: 500 }.encode(501, &mut bytes);
        }
        Tmsg::Walk { fid: log, newfid: 901, names: Names::from(&["queen.log"][..]) }.encode(502, &mut bytes);
        Tmsg::Lopen { fid: 901, flags: 0 }.encode(503, &mut bytes);
        Tmsg::Read { fid: 901, offset: 0, count: 100 }.encode(504, &mut bytes);
        client.bytes(&mut hive, &bytes);
        let replies = client.replies(&mut hive);
        assert!(
            replies.len() == 4 && replies.iter().all(|frame| frame[4] != wire::kind::RREAD),
            "{replies:?}"
        );
        // The directory lists what the scope leaves, still.
        assert_eq!(word(&client.ask(&mut hive, &Tmsg::Lopen { fid: log, flags: 0 })), None);
        let reply = client.ask(&mut hive, &Tmsg::Readdir { fid: log, offset: 0, count: 8000 });
        let Ok((_, Rmsg::Readdir { data })) = wire::decode_r(&reply) else { panic!("no listing") };
        assert!(data.is_empty());
    }
}

fn budget(ops: Option<u64>, ttl_s: Option<u64>, bandwidth_bytes: Option<u64>) -> Attenuation {
    Attenuation {
        budget: Some(Budget { ops, ttl_s, ..Budget::default() }),
        quota: Some(Quota { bandwidth_bytes, ..Quota::default() }),
        ..Attenuation::default()
    }
}

#[test]
fn bandwidth_is_what_was_moved_and_not_what_was_asked_for() {
    let mut hive = Hive::new();
    hive.queen().write(&mut hive, "/log/queen.log", &"x".repeat(50)).unwrap();
    let child = minted(&mut hive).narrow(&budget(None, None, Some(120)), [3; 32]).unwrap();
    let mut client = shown(&mut hive, &child);
    let fid = client.open(&mut hive, "/log/queen.log", 0).unwrap();
    let read = |hive: &mut Hive, client: &mut Client| {
        let reply = client.ask(hive, &Tmsg::Read { fid, offset: 0, count: 8000 });
        word(&reply).map_or(Ok(reply.len() - 11), Err)
    };
    assert_eq!(read(&mut hive, &mut client), Ok(50));
    // What is taken back or refused has moved nothing.
    let log = hive.channel("log");
    hive.silent.insert(log);
    let oldtag = client.send(&mut hive, &Tmsg::Read { fid, offset: 0, count: 8000 });
    client.ask(&mut hive, &Tmsg::Flush { oldtag });
    hive.silent.remove(&log);
    let (dir, _) = client.walk(&mut hive, "/log").unwrap();
    assert_eq!(
        word(&client.ask(&mut hive, &Tmsg::Read { fid: dir, offset: 0, count: 100 })),
        Some(Word::Invalid)
    );
    assert_eq!(read(&mut hive, &mut client), Ok(50));
    assert_eq!(read(&mut hive, &mut client), Ok(20), "no more than is left");
    assert_eq!(read(&mut hive, &mut client), Err(Word::Quota));
}

#[test]
fn a_malformed_request_costs_no_operation_and_errstr_none_ever() {
    let mut hive = Hive::new();
    let child = minted(&mut hive).narrow(&budget(Some(2), None, None), [3; 32]).unwrap();
    let mut client = shown(&mut hive, &child);
    for path in ["/.", "/none", "/../x"] {
        assert!(client.walk(&mut hive, path).is_err());
    }
    for expected in [Ok(()), Ok(()), Err(Word::Quota)] {
        assert_eq!(client.walk(&mut hive, "/proc").map(|_| ()), expected);
    }
    assert!(client.errstr(&mut hive).contains("operations are spent"));
}

#[test]
fn a_ticket_whose_time_to_live_is_over_is_not_let_in_again() {
    let mut hive = Hive::new();
    let child = minted(&mut hive).narrow(&budget(None, Some(2), None), [3; 32]).unwrap();
    let mut client = shown(&mut hive, &child);
    hive.after(2000);
    assert_eq!(client.walk(&mut hive, "/proc").map(|_| ()), Err(Word::Revoked));
    assert_eq!(try_to_show(&mut hive, &child, "queen").map(|_| ()), Err(Word::Revoked));
}
