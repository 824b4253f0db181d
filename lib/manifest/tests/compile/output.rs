//! What is written, and what is loaded.

use std::fs;

use manifest::{Additions, ClientConfig, Listener, LoadError, Manifest};

use crate::house::{House, KEY};

#[test]
fn the_same_input_gives_the_same_bytes_anywhere() {
    let (one, other) = (House::new(), House::new());
    let files = one.compile().expect("it compiles").files;
    assert_eq!(files, other.compile().expect("it compiles").files);
    let commented = other.append("bind/queen", "# a comment\n").append("sys/hive.toml", "# another\n");
    assert_eq!(files, commented.compile().expect("it compiles").files);
    let changed = commented.edit("max_workers = 256", "max_workers = 255").compile().expect("it compiles");
    assert_ne!(files["manifest.sha256"], changed.files["manifest.sha256"]);
}

#[test]
fn what_is_written_reads_back() {
    let house = House::new();
    let compiled = house.compile().expect("it compiles");
    let out = house.path("out");
    compiled.write(&out).expect("writes");
    compiled.write(&out).expect("writes again");
    let loaded = Manifest::from_cbor(&fs::read(out.join("manifest.cbor")).expect("cbor")).expect("loads");
    assert_eq!((&loaded, loaded.fingerprint()), (&compiled.manifest, compiled.fingerprint));
    let json: Manifest = serde_json::from_str(&house.read("out/manifest.json")).expect("parses");
    assert_eq!(json, compiled.manifest);
    let client = ClientConfig::parse(&house.read("out/client.toml")).expect("parses");
    assert_eq!((client.manifest, client.msize), (compiled.fingerprint.to_string(), 8192));
    let vars = ns::Vars { subject: Some("worker-3"), shard: Some("4f") };
    let table = ns::Table::parse(&house.read("out/ns/worker-heartbeat"), &vars).expect("parses");
    assert_eq!(table.children::<&str>(&[]), ["log", "proc", "shard", "worker"]);
    let left = fs::read_dir(&out).expect("out").map(|file| file.expect("out").file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().starts_with('.')).count(), 0, "drafts");
}

#[test]
fn the_sum_is_what_sha256sum_checks() {
    let compiled = House::new().compile().expect("it compiles");
    let line = String::from_utf8(compiled.files["manifest.sha256"].clone()).expect("text");
    assert_eq!(line, format!("{}  manifest.cbor\n", compiled.fingerprint));
    assert_eq!(compiled.fingerprint.short(), &line[..12]);
}

#[test]
fn the_topology_has_no_way_around_the_door() {
    let compiled = House::new().compile().expect("it compiles");
    let topology: serde_json::Value =
        serde_json::from_slice(&compiled.files["topology.json"]).expect("parses");
    let channels = topology["channels"].as_array().expect("channels");
    let pair = |from: &str, to: &str| {
        channels.iter().find(|c| c["from"] == from && c["to"] == to).map(|c| c["roots"].to_string())
    };
    assert_eq!(
        pair("door", "queen").as_deref(),
        Some("[\"\",\"in\",\"lease\",\"lifecycle\",\"proc\",\"root\",\"schedule\"]")
    );
    assert_eq!(pair("worker", "queen").as_deref(), Some("[\"in\"]"));
    assert_eq!(pair("proc", "queen"), None);
    assert!(channels.iter().all(|channel| channel["from"] != channel["to"]));
}

#[test]
fn every_process_of_a_server_has_channels_of_its_own() {
    let house = House::new().edit("[servers.door]", "[servers.door]\ncount = 2");
    let compiled = house.compile().expect("it compiles");
    let topology: serde_json::Value =
        serde_json::from_slice(&compiled.files["topology.json"]).expect("parses");
    let channels = topology["channels"].as_array().expect("channels");
    let pair = |from: &str, to: &str| {
        channels.iter().find(|c| c["from"] == from && c["to"] == to).map(|c| c["roots"].to_string())
    };
    assert_eq!(pair("door", "proc"), pair("door.1", "proc"));
    assert_eq!(pair("queen", "door.1").as_deref(), Some("[\"ctl\"]"));
    assert_eq!(pair("init", "door.1").as_deref(), Some("[\"\"]"));
    assert_eq!(pair("door", "door.1").as_deref(), Some("[\"9p\",\"ctl\"]"));
    assert_eq!(pair("door.1", "door").as_deref(), Some("[\"9p\",\"ctl\"]"));
    assert!(channels.iter().all(|channel| channel["from"] != channel["to"]));
}

#[test]
fn the_image_has_the_channels_of_the_topology_and_keeps_the_doors_own_apart() {
    let compiled = House::new().compile().expect("it compiles");
    let text = String::from_utf8(compiled.files["topology"].clone()).expect("text");
    let has = |line: &str| text.lines().filter(|found| *found == line).count();
    for line in [
        "channel worker queen ask",
        "channel door queen ask",
        "channel door queen route",
        "channel door proc route",
        "channel init queen ask",
        "channel root init lines",
    ] {
        assert_eq!(has(line), 1, "{line} in:\n{text}");
    }
    assert_eq!(has("channel proc queen ask") + has("channel door proc ask"), 0, "{text}");
    let servers: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("server ")?.split(' ').next()).collect();
    let manifest: Vec<&str> = compiled.manifest.servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(servers, manifest, "in the order of their start");
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| {
            line.split_once(' ').filter(|(word, _)| ["part", "server", "worker"].contains(word))
        })
        .filter_map(|(_, rest)| rest.split(' ').next())
        .collect();
    for line in text.lines().filter_map(|line| line.strip_prefix("channel ")) {
        let ends: Vec<&str> = line.split(' ').take(2).collect();
        assert!(ends.iter().all(|end| *end == "root" || names.contains(end)), "{line}");
    }
}

#[test]
fn only_what_the_compiler_wrote_is_loaded() {
    let manifest = House::new().compile().expect("it compiles").manifest;
    let cbor = manifest.to_cbor();
    let trailing = [&cbor[..], &[0]].concat();
    assert_eq!(Manifest::from_cbor(&trailing), Err(LoadError::NotCanonical));
    assert!(matches!(Manifest::from_cbor(&cbor[..cbor.len() - 1]), Err(LoadError::Malformed(_))));
    assert!(matches!(Manifest::from_cbor(b""), Err(LoadError::Malformed(_))));
    let other = Manifest { schema: 2, ..manifest.clone() };
    assert_eq!(Manifest::from_cbor(&other.to_cbor()), Err(LoadError::Schema(2)));
    // Any one byte changed: another manifest or none; never a panic, never the same name.
    for at in 0..cbor.len() {
        for bit in [1, 0x20, 0x80] {
            let mut bad = cbor.clone();
            bad[at] ^= bit;
            if let Ok(bad) = Manifest::from_cbor(&bad) {
                assert_ne!(bad.fingerprint(), manifest.fingerprint());
            }
        }
    }
}

#[test]
fn a_start_may_add_listeners_and_its_own_key() {
    let listener = Listener::parse("tcp!127.0.0.1!5641").expect("parses").compat();
    let keys = [("dev".to_string(), KEY.to_string())].into();
    let mut additions = Additions { listeners: vec![listener.clone()], keys, ..Additions::default() };
    let house = House::new();
    let compiled = house.with(&additions).expect("it compiles");
    assert_eq!(compiled.manifest.listeners[1], listener);
    assert_eq!(compiled.manifest.tickets.keys["dev"], KEY);
    assert_ne!(compiled.fingerprint, house.compile().expect("it compiles").fingerprint);
    additions.listeners.push(listener);
    let said = house.with(&additions).map(|_| ()).expect_err("twice");
    assert!(said.contains("listeners[2].addr: \"127.0.0.1!5641\" found"), "{said}");
}
