//! What is bad is refused with the spec's word, counted, and costs a bounded memory.

use crate::{append, count, is_long, memory, new_segment, ready, refused};
use ninep::dial::DialError;
use ninep::refusal::Word;
use tests::Hive;

const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn word<T>(outcome: Result<T, DialError>) -> Option<Word> {
    outcome.err().and_then(|error| error.word())
}

#[test]
fn records_and_names_beyond_their_bounds_are_refused() {
    let hive = ready(Hive::start(&[]));
    let segment = new_segment(&hive, "d");
    let mut conn = hive.dial().unwrap();
    append(&mut conn, &segment, &[b'x'; 4096]).unwrap();
    assert_eq!(word(append(&mut conn, &segment, &[b'x'; 4097])), Some(Word::TooBig));
    append(&mut conn, &segment, b"").unwrap();
    assert_eq!((count(&hive, "records"), count(&hive, "bytes")), (1, 4096));
    for name in ["a b", "ä", "x%y", &"x".repeat(65), &"x".repeat(255)] {
        let found = word(conn.open_path(&format!("/queen/telemetry/{name}/ctl"), 2));
        assert_eq!(found, Some(Word::NotFound), "{name}");
    }
    for (name, is) in
        [("x".repeat(300), Word::Invalid), ("..".into(), Word::Invalid), ("a/b".into(), Word::NotFound)]
    {
        let found = word(conn.open_path(&format!("/queen/telemetry/{name}/ctl"), 2));
        assert_eq!(found, Some(is), "{name}");
    }
    for name in ["none", "seg-1", "seg-000002", "seg-0000001"] {
        let found = word(conn.open_path(&format!("/queen/telemetry/d/seg/{name}"), 2));
        assert_eq!(found, Some(Word::NotFound), "{name}");
    }
    // O_TRUNC, and a write where the end is not.
    assert_eq!(word(conn.open_path(&segment, 0o1001)), Some(Word::Permission));
    let fid = conn.open_path(&segment, 1).unwrap();
    assert_eq!(word(conn.write_at(fid, 5, b"x")), Some(Word::Invalid));
}

#[test]
fn commands_that_are_none_are_refused() {
    let hive = ready(Hive::start(&[]));
    let ctl = "/queen/telemetry/d/ctl";
    for line in [
        "new segment",
        "[]",
        "{}",
        "{\"new\":\"file\"}",
        "{\"new\":\"segment\",\"name\":\"mine\"}",
        "{\"new\":\"segment\",\"seal\":\"a\"}",
        "{\"new\":\"segment\",\"mime\":\"text\"}",
        "{\"new\":\"segment\",\"mime\":\"video/mp4\"}",
        "{\"new\":\"segment\",\"mime\":null}",
        "{\"seal\":\"../a\"}",
        "{\"seal\":\"\"}",
    ] {
        assert_eq!(refused(&hive, ctl, line), Word::Invalid, "{line}");
    }
    assert_eq!(refused(&hive, ctl, &format!("{{\"seal\":\"{}\"}}", "x".repeat(600))), Word::TooBig);
    assert_eq!(refused(&hive, ctl, "{\"seal\":\"none\"}"), Word::NotFound);
    assert_eq!(hive.print("cohls", &["/queen/telemetry"]), "", "none of them has made a device");
}

#[test]
fn manifests_that_do_not_tile_are_not_sealed() {
    let hive = ready(Hive::start(&[]));
    for (i, (pieces, is_sealed)) in [
        (&[(0, 4), (4, 6)][..], true),
        (&[(4, 6), (0, 4)], true),
        (&[(0, 4), (5, 5)], false),
        (&[(0, 4), (3, 7)], false),
        (&[(0, 4), (0, 4), (4, 6)], false),
        (&[(0, 4)], false),
        (&[(0, 4), (4, 7)], false),
        (&[(1, 9)], false),
        (&[(0, 10), (10, 0)], false),
    ]
    .into_iter()
    .enumerate()
    {
        let device = format!("dev-{i}");
        let segment = new_segment(&hive, &device);
        let mut conn = hive.dial().unwrap();
        for (offset, bytes) in pieces {
            let record = format!(
                "{{\"schema\":\"cohesix-refs/v1\",\"artefact\":\"a\",\"bytes\":10,\"sha256\":\"{SUM}\",\"refs\":[{{\"offset\":{offset},\"bytes\":{bytes},\"sha256\":\"{SUM}\",\"uri\":\"file:///c\"}}]}}\n"
            );
            append(&mut conn, &segment, record.as_bytes()).unwrap();
        }
        let ctl = format!("/queen/telemetry/{device}/ctl");
        if is_sealed {
            let ack = hive.command(&ctl, "{\"seal\":\"a\"}\n").unwrap();
            let want = format!("OK SEAL artefact=a bytes=10 sha256={SUM} refs=2 seq=");
            assert!(ack.starts_with(&want), "{ack}");
        } else {
            assert_eq!(refused(&hive, &ctl, "{\"seal\":\"a\"}"), Word::Invalid, "{pieces:?}");
        }
        assert_eq!(refused(&hive, &ctl, "{\"seal\":\"b\"}"), Word::NotFound);
    }
}

#[test]
fn a_manifest_whose_keys_were_sorted_is_sealed_and_pulled() {
    let hive = ready(Hive::start(&[]));
    let chunk = b"0123456789";
    let store = hive.path("store");
    std::fs::create_dir(&store).unwrap();
    let sum = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";
    std::fs::write(store.join("c"), chunk).unwrap();
    let uri = format!("file://{}/c", store.display());
    let record = format!(
        "{{\"artefact\":\"a\",\"bytes\":10,\"refs\":[{{\"bytes\":10,\"offset\":0,\"sha256\":\"{sum}\",\"uri\":\"{uri}\"}}],\"schema\":\"cohesix-refs/v1\",\"sha256\":\"{sum}\"}}\n"
    );
    let segment = new_segment(&hive, "dev");
    append(&mut hive.dial().unwrap(), &segment, record.as_bytes()).unwrap();
    let ack = hive.command("/queen/telemetry/dev/ctl", "{\"seal\":\"a\"}\n").unwrap();
    assert!(ack.starts_with(&format!("OK SEAL artefact=a bytes=10 sha256={sum} refs=1 seq=")), "{ack}");
    let out = hive.path("out");
    hive.print("cohpull", &["-o", out.to_str().unwrap(), "dev"]);
    assert_eq!(std::fs::read(out.join("artefact/a")).unwrap(), chunk);
}

#[test]
fn a_hundred_thousand_devices_are_as_many_as_the_manifest_says() {
    const MOST: usize = 50;
    let attempts = if is_long() { 100_000 } else { 3000 };
    let more = format!("[telemetry]\nmax_devices = {MOST}\n");
    let hive = ready(Hive::edited(|shipped| shipped.replace("[telemetry]\n", &more), |_| {}));
    let mut conn = hive.dial().unwrap();
    let mut made = 0;
    let mut before = 0;
    for i in 0..attempts {
        let fid = conn.open_path(&format!("/queen/telemetry/dev-{i}/ctl"), 2).unwrap();
        match conn.write_at(fid, 0, b"{\"new\":\"segment\"}\n") {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.word(), Some(Word::Quota), "{error}"),
        }
        conn.clunk(fid).unwrap();
        if i == 1000 {
            before = memory(&hive, "VmRSS");
        }
    }
    assert_eq!(made, MOST);
    let listed = hive.print("cohls", &["/queen/telemetry"]);
    assert_eq!(listed.lines().count(), MOST);
    let grown = memory(&hive, "VmRSS").saturating_sub(before) / 1024;
    println!("{attempts} devices: {grown} MiB of the hive's memory");
    assert!(grown < 32, "{grown} MiB");
}

#[test]
fn a_device_that_is_full_refuses_or_gives_up_its_oldest() {
    let bounds = |eviction: &str| {
        format!(
            "[telemetry]\nmax_segments_per_device = 2\nmax_bytes_per_segment = 4096\nmax_total_bytes_per_device = 8192\neviction = \"{eviction}\"\n"
        )
    };
    let hive = ready(Hive::edited(|shipped| shipped.replace("[telemetry]\n", &bounds("refuse")), |_| {}));
    let mut conn = hive.dial().unwrap();
    let (first, second) = (new_segment(&hive, "d"), new_segment(&hive, "d"));
    assert_eq!(refused(&hive, "/queen/telemetry/d/ctl", "{\"new\":\"segment\"}"), Word::Quota);
    append(&mut conn, &first, &[b'x'; 4096]).unwrap();
    assert_eq!(word(append(&mut conn, &first, b"x")), Some(Word::Quota));
    append(&mut conn, &second, &[b'x'; 4096]).unwrap();
    assert_eq!((count(&hive, "backpressure"), count(&hive, "dropped")), (1, 0));
    drop((conn, hive));

    let hive =
        ready(Hive::edited(|shipped| shipped.replace("[telemetry]\n", &bounds("evict-oldest")), |_| {}));
    let mut conn = hive.dial().unwrap();
    let first = new_segment(&hive, "d");
    for _ in 0..3 {
        append(&mut conn, &first, b"record\n").unwrap();
    }
    let fid = conn.open_path(&first, 2).unwrap();
    new_segment(&hive, "d");
    assert!(new_segment(&hive, "d").ends_with("seg-000003"));
    assert_eq!(word(conn.write_at(fid, u64::MAX, b"late\n")), Some(Word::Revoked));
    assert_eq!(hive.print("cohls", &["/queen/telemetry/d/seg"]), "seg-000002\nseg-000003");
    assert_eq!((count(&hive, "records"), count(&hive, "dropped")), (3, 3));
    let log = hive.read("/log/queen.log").unwrap();
    assert!(log.contains("telemetry evicted device=d seg=seg-000001 records=3 reason=room"), "{log}");
}
