//! What a ticket's limits come to at the door.

use super::*;
use ticket::{Attenuation, Budget, Claims, IssuerKey, Quota, Role, Scope, Token, Verbs};

const WALL_MS: u64 = 1_700_000_000_000;

pub(super) fn minted(hive: &mut Hive) -> Token {
    minted_for(hive, Role::Queen, "")
}

pub(super) fn minted_for(hive: &mut Hive, role: Role, subject: &str) -> Token {
    let key = IssuerKey::generate([1; 32]);
    hive.door.admission.keys.add("dev", &key.public_hex()).unwrap();
    let claims = Claims {
        hive: "hive".into(),
        id: [7; 16],
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
