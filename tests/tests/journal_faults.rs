//! Many clients and their retries against a hive whose servers are killed at random instants: what each
//! was told, held against the journal (spec 4.1, 6.2; G1, G7 and G8 of the fault plan).
//!
//! A short run by default. `COH_FAULTS_LONG=1` makes it a thousand kills and thirty-two clients;
//! `COH_FAULTS_SEED=n` repeats the choices of a run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::{Conn, DialError};
use ninep::refusal::Word;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tests::ctl::{envelope, resource};
use tests::journal::{Record, agree, field, records, shown, string, verify};
use tests::{Hive, until};

/// Servers on a command's way, each as often as it is to be chosen.
const VICTIMS: [&str; 8] = ["audit", "audit", "audit", "queen", "queen", "policy", "door", "worker"];
/// How long a client goes on with one envelope. Far more than the hive may take, for a machine that is
/// busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);
/// Within which the hive takes commands again after a kill. It is to be about a second; the bound is for
/// busy machines, and the run prints what it took.
const BACK: Duration = Duration::from_secs(8);

/// Choices that a seed repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.roll(all.len() as u64) as usize]
    }
}

/// A command that a client has given, and what it was told in the end.
#[derive(Debug)]
struct Given {
    path: &'static str,
    /// What makes its record unlike all others: the envelope's id, or a name in the command.
    mark: String,
    told: Told,
    tries: u32,
}

#[derive(Debug)]
enum Told {
    /// The whole line.
    Ack(String),
    Refused(Word),
    /// The session ended first.
    Nothing,
}

/// A client with a session that it may lose.
struct Client<'h> {
    hive: &'h Hive,
    name: String,
    dice: Dice,
    conn: Option<Conn>,
    given: Vec<Given>,
    workers: Vec<String>,
    leases: Vec<String>,
    windows: Vec<String>,
}

fn give(conn: &mut Conn, path: &str, line: &str) -> Result<String, DialError> {
    let fid = conn.open_path(path, 2)?;
    let wrote = conn.write_at(fid, 0, line.as_bytes());
    let ack = wrote.and_then(|_| conn.read_at(fid, 0, 4096));
    let ack = String::from_utf8(ack?).unwrap().trim_end().to_owned();
    conn.clunk(fid)?;
    Ok(ack)
}

impl<'h> Client<'h> {
    fn new(hive: &'h Hive, name: String, seed: u64) -> Client<'h> {
        let (dice, given) = (Dice(seed | 1), Vec::new());
        let (workers, leases, windows) = (Vec::new(), Vec::new(), Vec::new());
        Client { hive, name, dice, conn: None, given, workers, leases, windows }
    }

    /// One attempt, in the session that there is or in a new one.
    fn attempt(&mut self, path: &str, line: &str) -> Result<String, DialError> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.hive.dial()?,
        };
        let told = give(&mut conn, path, line);
        // A session that has seen trouble is given up now and then; one that is lost, always.
        if told.is_ok() || matches!(&told, Err(error) if !error.is_lost()) && self.dice.roll(4) > 0 {
            self.conn = Some(conn);
        }
        if let Err(error) = &told {
            let is_defined = match error.word() {
                Some(word) => matches!(word, Word::Busy | Word::Closed | Word::Revoked | Word::NotFound),
                None => matches!(error, DialError::Io(_)),
            };
            assert!(is_defined, "{path} {line}: {error}");
            if error.word() != Some(Word::NotFound) {
                self.conn = self.conn.take().filter(|_| error.word() == Some(Word::Busy));
            }
        }
        told
    }

    /// The same envelope until there is an answer.
    fn insist(&mut self, cmd: &str) -> Option<String> {
        let mark = format!("{}-{}", self.name, self.given.len());
        let line = envelope(&mark, "k", cmd);
        let start = Instant::now();
        for tries in 1.. {
            let told = match self.attempt("/queen/ctl", &line) {
                Ok(ack) => Told::Ack(ack),
                Err(error) if error.word() == Some(Word::NotFound) => Told::Refused(Word::NotFound),
                Err(error) => {
                    assert!(start.elapsed() < PATIENCE, "{line}: {error} after {tries} tries");
                    std::thread::sleep(Duration::from_millis(self.dice.roll(20)));
                    continue;
                }
            };
            return self.note("/queen/ctl", format!("\"id\":\"{mark}\","), told, tries);
        }
        None
    }

    /// Once: what has no envelope is not given twice.
    fn once(&mut self, path: &'static str, mark: String, line: &str) -> Option<String> {
        let told = match self.attempt(path, line) {
            Ok(ack) => Told::Ack(ack),
            Err(error) => error.word().map_or(Told::Nothing, Told::Refused),
        };
        self.note(path, mark, told, 1)
    }

    fn note(&mut self, path: &'static str, mark: String, told: Told, tries: u32) -> Option<String> {
        let ack = match &told {
            Told::Ack(ack) => Some(ack.clone()),
            _ => None,
        };
        self.given.push(Given { path, mark, told, tries });
        ack
    }

    fn step(&mut self) {
        let name = format!("{}-{}", self.name, self.given.len());
        let id = |ack: Option<String>, key| field(&ack?, key).map(String::from);
        match self.dice.roll(10) {
            0 if self.workers.len() < 2 => {
                let worker = self.insist(r#"{"spawn":"heartbeat","period_ms":1000}"#);
                self.workers.extend(id(worker, "id"));
            }
            0 | 1 if !self.workers.is_empty() => {
                let worker = self.workers.remove(0);
                self.insist(&format!(r#"{{"kill":"{worker}"}}"#));
            }
            2 | 3 => {
                // Of a long run no more may be active at once than the manifest allows.
                let ttl_s = self.dice.pick(&[1, 2, 20]);
                let line = format!(
                    r#"{{"grant":{{"resource":"GPU-0","subject":"{name}","mem_mb":1,"streams":1,"ttl_s":{ttl_s}}}}}"#
                );
                let lease = self.once("/queen/lease/ctl", format!("\"subject\":\"{name}\","), &line);
                self.leases.extend(id(lease, "lease"));
            }
            4 if !self.leases.is_empty() => {
                let lease = self.leases.remove(0);
                let mark = format!("{{\"release\":\"{lease}\"}}");
                self.once("/queen/lease/ctl", mark.clone(), &mark);
            }
            5 => {
                let line = format!(
                    r#"{{"open":{{"id":"{name}","path":"/queen/telemetry/d","until_ms":99999999999999,"max_bytes":1}}}}"#
                );
                let window =
                    self.once("/queen/export/ctl", format!("{{\"open\":{{\"id\":\"{name}\","), &line);
                self.windows.extend(id(window, "id"));
            }
            6 if !self.windows.is_empty() => {
                let mark = format!("{{\"close\":\"{}\"}}", self.windows.remove(0));
                self.once("/queen/export/ctl", mark.clone(), &mark);
            }
            _ => drop(self.insist(r#"{"budget":{"ttl_s":100000}}"#)),
        }
    }
}

/// Holds what clients were told against what is written.
fn hold(given: &[Given], journal: &[Record]) {
    let mut by_path: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in journal.iter().filter(|record| record.kind == "ctl") {
        by_path.entry(&record.path).or_default().push(record);
    }
    // The marks of envelopes are looked up, the rest is searched for.
    let mut enveloped: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in by_path.get("/queen/ctl").into_iter().flatten() {
        enveloped.entry(string(&record.cmd, "id").unwrap()).or_default().push(record);
    }
    for (id, records) in &enveloped {
        assert_eq!(records.len(), 1, "{id} was carried out twice: {records:?}");
    }
    let marks: BTreeSet<(&str, &str)> = given.iter().map(|it| (it.path, it.mark.as_str())).collect();
    let mut marked: BTreeMap<(&str, &str), Vec<&Record>> = BTreeMap::new();
    for record in by_path.iter().filter(|(path, _)| **path != "/queen/ctl").flat_map(|(_, all)| all) {
        // A mark is the command, as far as it names itself, or the subject in it.
        let starts = [Some(0), record.cmd.find("\"subject\"")];
        for from in starts.into_iter().flatten() {
            for (at, _) in record.cmd.match_indices([',', '}']) {
                let mark = record.cmd.get(from..=at).and_then(|mark| marks.get(&(&*record.path, mark)));
                if let Some(mark) = mark {
                    marked.entry(*mark).or_default().push(record);
                }
            }
        }
    }
    for it in given {
        let found: Vec<&Record> = match it.path {
            "/queen/ctl" => enveloped.get(it.mark.split('"').nth(3).unwrap()).cloned().unwrap_or_default(),
            path => marked.get(&(path, it.mark.as_str())).cloned().unwrap_or_default(),
        };
        match &it.told {
            Told::Ack(ack) => {
                assert_eq!(found.len(), 1, "acknowledged, and there are {found:?}: {it:?}");
                let ack = ack.strip_suffix(" dup=1").unwrap_or(ack);
                assert_eq!(ack, format!("{} seq={}", found[0].ack, found[0].seq), "{it:?}");
            }
            // A session's end tells nothing, and Busy no more than that it is not known.
            Told::Nothing | Told::Refused(Word::Busy | Word::Closed | Word::Revoked) => {
                assert!(found.len() <= 1, "{it:?}: {found:?}");
            }
            Told::Refused(_) => assert_eq!(found, [] as [&Record; 0], "refused, and recorded: {it:?}"),
        }
    }
}

/// Ids are given once, and in order.
fn ids(journal: &[Record]) {
    for (verb, key) in [("OK SPAWN ", "id"), ("OK GRANT ", "lease")] {
        let acks = journal.iter().filter(|record| record.ack.starts_with(verb));
        let numbers: Vec<u64> = acks
            .map(|record| field(&record.ack, key).unwrap().rsplit('-').next().unwrap().parse().unwrap())
            .collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{verb}: {numbers:?}");
        assert!(!numbers.is_empty(), "nobody said {verb}");
    }
}

/// Kills a server, and waits until a command is acknowledged again.
fn strike(hive: &Hive, victim: &str, prober: &mut Client) -> Duration {
    // One that is not up has just been killed.
    until("it can be killed", || hive.coh(&["kill", victim]).status.success());
    let start = Instant::now();
    prober.insist(r#"{"budget":{"ops":1000000}}"#);
    until("reads are answered", || hive.read("/proc/lifecycle/state").is_ok());
    start.elapsed()
}

#[test]
fn what_clients_were_told_is_what_the_journal_says_whoever_is_killed_when() {
    let is_long = std::env::var_os("COH_FAULTS_LONG").is_some();
    let (kills, clients) = if is_long { (1000, 32) } else { (24, 6) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("COH_FAULTS_SEED").map_or(now, |seed| seed.parse().unwrap());
    println!("seed {seed}");

    // Nothing is dropped, so that all can be counted.
    let roomy = |shipped: &str| {
        let roomy = shipped.replace("journal_bytes = 67_108_864", "journal_bytes = 536_870_912");
        assert_ne!(roomy, shipped);
        format!("{roomy}\n{}", resource(1_000_000, 1_000_000))
    };
    let hive = Hive::edited(roomy, |_| {});
    let stop = AtomicBool::new(false);
    let mut dice = Dice(seed | 1);
    let (given, mut times) = std::thread::scope(|scope| {
        let run = |n: u64| {
            let (hive, stop) = (&hive, &stop);
            scope.spawn(move || {
                let mut client = Client::new(hive, format!("c{n}"), seed.wrapping_mul(2 * n + 3));
                while !stop.load(Ordering::Relaxed) {
                    client.step();
                    std::thread::sleep(Duration::from_millis(client.dice.roll(if is_long {
                        100
                    } else {
                        10
                    })));
                }
                client.given
            })
        };
        let clients: Vec<_> = (0..clients).map(run).collect();
        let mut prober = Client::new(&hive, "p".into(), seed);
        let mut times = Vec::new();
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(dice.roll(200)));
            let victim = *dice.pick(&VICTIMS);
            times.push((strike(&hive, victim, &mut prober), victim));
        }
        stop.store(true, Ordering::Relaxed);
        let mut given = prober.given;
        clients.into_iter().for_each(|client| given.extend(client.join().unwrap()));
        (given, times)
    });

    // Alive, it shows what it has written: to its own replay, and to a fold of another hand.
    until("replay and the hive agree", || hive.print("cohreplay", &[]).starts_with("ok records="));
    let dir = hive.path("data/journal");
    agree(&hive);
    until("every worker on record has a process, and no other", || {
        let status = hive.print("coh", &["status"]);
        let running = status.lines().filter_map(|line| line.split(' ').next());
        let running: BTreeSet<_> = running.filter(|name| name.starts_with("worker-")).collect();
        let workers = shown(&hive).workers;
        running == workers.iter().map(String::as_str).collect()
    });
    let before = shown(&hive);

    verify(&hive);
    let journal = records(&dir);
    hold(&given, &journal);
    ids(&journal);

    // Started again it is what the journal says, but that its workers have ended with it.
    assert!(hive.up(&[]).status.success());
    let grant = r#"{"grant":{"resource":"GPU-0","subject":"last","mem_mb":1,"streams":1,"ttl_s":3600}}"#;
    until("it takes commands", || {
        hive.command("/queen/lease/ctl", grant).inspect_err(|why| println!("not yet: {why:?}")).is_ok()
    });
    hive.command("/queen/ctl", r#"{"spawn":"heartbeat"}"#).unwrap();
    agree(&hive);
    let after = shown(&hive);
    assert_eq!((after.workers.len(), &after.windows), (1, &before.windows));
    ids(&records(&dir));

    times.sort();
    let acked = given.iter().filter(|it| matches!(it.told, Told::Ack(_))).count();
    let retried = given.iter().filter(|it| it.tries > 1).count();
    let again =
        given.iter().filter(|it| matches!(&it.told, Told::Ack(ack) if ack.ends_with(" dup=1"))).count();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "kills {kills}, commands {}, acknowledged {acked}, retried {retried}, told again {again}; \
         back after {:?} in the middle, {:?} for 99 %, {:?} at most",
        given.len(),
        at(50),
        at(99),
        at(100)
    );
    assert!(acked > 100, "{acked} commands were acknowledged");
    assert!(retried > 0, "no kill was felt");
    assert!(at(100).0 < BACK, "{:?}", at(100));
}
