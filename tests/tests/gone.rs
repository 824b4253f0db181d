//! Workers that have ended: however many there were, none of their tickets is let in again, and nothing that
//! is bounded fills up with them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::Conn;
use ninep::refusal::Word;
use tests::{Hive, until, with_doors};
use ticket::{Bounds, Budget, Claims, IssuerKey, Quota, Role};

const CTL: &str = "/queen/ctl";
const SPAWN: &str = "{\"spawn\":\"heartbeat\",\"period_ms\":3600000}\n";

/// One process for all workers, and room for 16 revoked tickets.
fn small(shipped: &str) -> String {
    shipped
        .replace("max_workers = 256", "max_workers = 256\nrevocations = 16")
        .replace("[workers.programs]", "[workers]\nrun = \"pool\"\n\n[workers.programs]")
}

/// The ticket of a worker, as the queen has minted it: the worker alone is told it, so it is minted again.
fn queens_own(hive: &Hive, number: u64) -> String {
    let key = std::fs::read_to_string(hive.path("data/issuer.key")).unwrap();
    let key = IssuerKey::from_hex(key.trim()).unwrap();
    let status = hive.print("coh", &["status"]);
    let name = status.split_whitespace().find_map(|field| field.strip_prefix("name=")).unwrap();
    let hex = authority::worker_ticket(name, number);
    let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now_ms = u64::try_from(now.as_millis()).unwrap();
    let claims = Claims {
        hive: name.to_owned(),
        id: std::array::from_fn(byte),
        role: Role::WorkerHeartbeat,
        subject: format!("worker-{number}"),
        issued_ms: now_ms,
        expires_ms: now_ms + 3_600_000,
        budget: Budget::default(),
        scopes: Vec::new(),
        quota: Quota::default(),
    };
    ticket::mint(&claims, &key, [7; 32], &Bounds::default()).unwrap().reveal().to_string()
}

fn reads(conn: &mut Conn) -> Result<(), Option<Word>> {
    conn.read_all("/proc/boot").map(drop).map_err(|error| error.word())
}

/// Whether a ticket is let in, once the hive says anything but Busy.
fn is_let_in(hive: &Hive, ticket: &str) -> Result<(), Word> {
    let mut said = Err(None);
    until("an answer", || {
        said = hive.dial_as("", ticket).map(drop).map_err(|error| error.word());
        !matches!(said, Err(None | Some(Word::Busy)))
    });
    said.map_err(Option::unwrap)
}

#[test]
fn a_killed_workers_ticket_is_refused_at_every_door_through_every_restart() {
    let hive = Hive::edited(|shipped| with_doors(&small(shipped), 3), |_| ());
    hive.command(CTL, &SPAWN.repeat(9)).unwrap();
    let own: Vec<String> = (1..=9).map(|number| queens_own(&hive, number)).collect();
    let minted = ["mint", "--role", "worker-heartbeat", "--subject", "worker-1", "--ttl", "5m"];
    let other = hive.print("cohticket", &minted);
    // Nine tickets, so that each door has some.
    let mut sessions: Vec<Conn> = own.iter().map(|ticket| hive.dial_as("", ticket).unwrap()).collect();
    assert!(sessions.iter_mut().all(|conn| reads(conn) == Ok(())));
    let killed = |number: usize| number <= 6;
    for number in (1..=9).filter(|number| killed(*number)) {
        hive.command(CTL, &format!("{{\"kill\":\"worker-{number}\"}}\n")).unwrap();
    }
    let check = |what: &str| {
        for (ticket, number) in own.iter().zip(1..) {
            let expected = if killed(number) { Err(Word::Revoked) } else { Ok(()) };
            assert_eq!(is_let_in(&hive, ticket), expected, "worker-{number} after {what}");
        }
        assert_eq!(is_let_in(&hive, &other), Ok(()), "one of that name that the queen did not mint");
    };
    for (conn, number) in sessions.iter_mut().zip(1..) {
        assert_eq!(reads(conn), if killed(number) { Err(Some(Word::Revoked)) } else { Ok(()) });
    }
    check("the kills");
    for process in ["door", "door.1", "queen", "door.2", "queen"] {
        hive.kill(process);
        check(process);
    }
    hive.print("coh", &["down"]);
    assert!(hive.up(&[]).status.success());
    for (ticket, number) in own.iter().zip(1..) {
        assert_eq!(is_let_in(&hive, ticket), Err(Word::Revoked), "worker-{number} was the last hive's");
    }
}

#[test]
fn workers_come_and_go_in_any_number_and_a_revoked_ticket_keeps_its_place() {
    let hive = Hive::edited(small, |_| ());
    let mut last = 0;
    for _ in 0..20 {
        hive.command(CTL, &SPAWN.repeat(10)).unwrap();
        let kills = (1..=10).map(|n| format!("{{\"kill\":\"worker-{}\"}}\n", last + n));
        hive.command(CTL, &kills.collect::<String>()).unwrap();
        last += 10;
    }
    let revoke = |n: u32| hive.command(CTL, &format!("{{\"revoke\":\"{n:032x}\"}}\n"));
    for n in 0..16 {
        revoke(n).unwrap();
    }
    assert_eq!(revoke(16).unwrap_err().word(), Some(Word::Quota));
    hive.kill("queen");
    until("she takes commands", || hive.command(CTL, SPAWN).is_ok());
    assert_eq!(revoke(17).unwrap_err().word(), Some(Word::Quota));
    for number in [1, 57, 200] {
        assert_eq!(is_let_in(&hive, &queens_own(&hive, number)), Err(Word::Revoked), "worker-{number}");
    }
    let workers = hive.read("/proc/queen/workers").unwrap();
    assert_eq!(workers.lines().count(), 1, "{workers}");
    let living = workers.split(' ').next().and_then(|id| id.strip_prefix("worker-")).unwrap();
    assert_eq!(is_let_in(&hive, &queens_own(&hive, living.parse().unwrap())), Ok(()));
    hive.print("cohreplay", &[]);
}
