//! One server that is several processes: paths lead to the one that has the shard.

use super::*;

const PARTS: [&str; 4] = ["worker", "worker.1", "worker.2", "worker.3"];

fn split() -> Hive {
    Hive::with(|manifest| {
        manifest.telemetry.worker_servers = PARTS.len() as u32;
        for server in manifest.servers.iter_mut().filter(|server| server.name == "worker") {
            server.count = PARTS.len() as u32;
        }
    })
}

fn owner(id: &str) -> &'static str {
    PARTS.into_iter().find(|part| workers_of(part, 4).contains(&id.to_owned())).expect("an owner")
}

#[test]
fn every_worker_is_reached_where_it_is() {
    let mut hive = split();
    let mut queen = hive.queen();
    for i in 1..=32 {
        let id = format!("worker-{i}");
        let status = queen.read(&mut hive, &format!("/worker/{id}/status"));
        assert_eq!(status, Ok("state=running\n".into()), "{id}");
        let of = format!("/shard/{}/of", ns::shard_label(&id, 8));
        assert_eq!(queen.read(&mut hive, &of), Ok(String::new()), "{of}");
    }
    assert_eq!(queen.read(&mut hive, "/worker/worker-33/status"), Err(Word::NotFound));
    assert_eq!(queen.read(&mut hive, "/shard/zz/of"), Err(Word::NotFound));
    assert_eq!(queen.write(&mut hive, "/worker", "x"), Err(Word::Permission));
}

#[test]
fn no_process_sees_anothers_workers() {
    let mut hive = split();
    let mut queen = hive.queen();
    for i in 1..=32 {
        queen.write(&mut hive, &format!("/worker/worker-{i}/telemetry"), "beat\n").unwrap();
    }
    for part in PARTS {
        let channel = hive.channel(part);
        let (engine, _) = hive.servers[channel as usize].as_ref().unwrap();
        let taken = engine.tree.state.log.records() as usize;
        assert_eq!(taken, workers_of(part, 4).len(), "{part}");
    }
}

#[test]
fn listings_are_of_all_processes_together() {
    let mut hive = split();
    let mut queen = hive.queen();
    let mut all: Vec<String> = (1..=32).map(|i| format!("worker-{i}")).collect();
    all.sort();
    assert_eq!(queen.list(&mut hive, "/worker").unwrap(), all);
    let mut labels: Vec<String> = all.iter().map(|id| ns::shard_label(id, 8).to_string()).collect();
    labels.sort();
    labels.dedup();
    assert_eq!(queen.list(&mut hive, "/shard").unwrap(), labels);
    assert!(queen.list(&mut hive, "/").unwrap().contains(&"worker".to_owned()));
    // Nothing stays open behind a listing but the roots of the mounts.
    let open = |hive: &Hive, part: &str| hive.door.channels[hive.channel(part) as usize].fids();
    let before: Vec<u32> = PARTS.map(|part| open(&hive, part)).into();
    (0..5).for_each(|_| assert_eq!(queen.list(&mut hive, "/worker").unwrap().len(), 32));
    assert_eq!(PARTS.map(|part| open(&hive, part)).to_vec(), before);
}

#[test]
fn a_process_that_dies_takes_its_shards_and_no_others() {
    let mut hive = split();
    let mut queen = hive.queen();
    let ids: Vec<String> = (1..=32).map(|i| format!("worker-{i}")).collect();
    let fids: Vec<u32> =
        ids.iter().map(|id| queen.open(&mut hive, &format!("/worker/{id}/telemetry"), 1).unwrap()).collect();
    hive.kill("worker.2", false);
    for (id, fid) in ids.iter().zip(fids) {
        let reply = queen.ask(&mut hive, &Tmsg::Write { fid, offset: u64::MAX, data: b"x" });
        let is_gone = owner(id) == "worker.2";
        assert_eq!(word(&reply), is_gone.then_some(Word::Closed), "{id} of {}", owner(id));
        let again = queen.read(&mut hive, &format!("/worker/{id}/status")).map(drop);
        assert_eq!(again, if is_gone { Err(Word::Busy) } else { Ok(()) }, "{id}");
    }
    let others = 32 - workers_of("worker.2", 4).len();
    assert_eq!(queen.list(&mut hive, "/worker").unwrap().len(), others, "what is away hides nothing");
    let channel = hive.channel("worker.2");
    hive.down.borrow_mut().remove(&channel);
    assert_eq!(queen.list(&mut hive, "/worker").unwrap().len(), 32);
    PARTS.iter().for_each(|part| hive.kill(part, false));
    assert_eq!(queen.list(&mut hive, "/worker"), Err(Word::Busy));
}

#[test]
fn a_silent_process_does_not_keep_a_listing_for_ever() {
    let mut hive = split();
    let mut queen = hive.queen();
    let fid = queen.open(&mut hive, "/worker", 0).unwrap();
    let channel = hive.channel("worker.1");
    hive.silent.insert(channel);
    queen.send(&mut hive, &Tmsg::Readdir { fid, offset: 0, count: 8000 });
    assert!(queen.replies(&mut hive).is_empty());
    hive.after(2000);
    let replies = queen.replies(&mut hive);
    let Ok((_, Rmsg::Readdir { data })) = wire::decode_r(&replies[0]) else { panic!("no listing") };
    let others = 32 - workers_of("worker.1", 4).len();
    assert_eq!(wire::Dirent::iter(data).count(), others);
}

#[test]
fn a_worker_reaches_its_own_by_every_path() {
    let mut hive = split();
    for id in ["worker-1", "worker-2", "worker-3", "worker-4", "worker-5"] {
        let vars = ns::Vars { subject: Some(id), shard: Some(&ns::shard_label(id, 8)) };
        let text = hive.door.namespaces["worker-heartbeat"].clone();
        let table = ns::Table::parse(&text, &vars).unwrap();
        let mut queen = hive.queen();
        let session = &mut hive.door.sessions[queen.slot];
        session.table = Rc::new(table);
        session.roots = Default::default();
        for path in ["/worker/self/status".into(), format!("/worker/{id}/status")] {
            assert_eq!(queen.read(&mut hive, &path), Ok("state=running\n".into()), "{path}");
        }
        assert_eq!(queen.list(&mut hive, "/worker").unwrap(), ["self", id]);
        let shard = format!("/shard/{}/worker/{id}/status", ns::shard_label(id, 8));
        assert_eq!(queen.read(&mut hive, &shard), Ok("state=running\n".into()), "{shard}");
    }
}
