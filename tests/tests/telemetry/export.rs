//! Jobs that leave through a window.

use crate::{append, new_segment, ready, refused};
use ninep::refusal::Word;
use tests::{Hive, until};

const CTL: &str = "/queen/export/ctl";
const JOBS: &str = "/queen/export/lora_jobs";

fn open(hive: &Hive, id: &str, path: &str, max_bytes: u64) {
    let line = format!(
        "{{\"open\":{{\"id\":\"{id}\",\"path\":\"{path}\",\"until_ms\":99999999999999,\"max_bytes\":{max_bytes}}}}}\n"
    );
    hive.command(CTL, &line).unwrap();
}

fn job(id: &str, window: &str) -> String {
    format!("{{\"job\":{{\"id\":\"{id}\",\"window\":\"{window}\",\"base_model\":\"llama3-edge\"}}}}")
}

fn has(hive: &Hive, id: &str) -> bool {
    hive.print("cohls", &[JOBS]).lines().any(|name| name == id)
}

#[test]
fn a_job_is_what_its_window_allows_and_goes_with_it() {
    let hive = ready(Hive::start(&[]));
    let mut conn = hive.dial().unwrap();
    let (one, two) = (new_segment(&hive, "dev-1"), new_segment(&hive, "dev-2"));
    append(&mut conn, &one, b"mine\n").unwrap();
    append(&mut conn, &one, b"too much\n").unwrap();
    append(&mut conn, &two, b"another's\n").unwrap();
    open(&hive, "win-1", "/queen/telemetry/dev-1", 8);
    open(&hive, "win-2", "/queen/telemetry", 1000);
    open(&hive, "win-3", "/log", 1000);
    for (line, word) in [
        (job("j", "none"), Word::NotFound),
        (job("j", "win-3"), Word::Invalid),
        (job(".j", "win-1"), Word::Invalid),
        (job("a/b", "win-1"), Word::Invalid),
    ] {
        assert_eq!(refused(&hive, CTL, &line), word, "{line}");
    }
    let ack = hive.command(CTL, &(job("job_0001", "win-1") + "\n")).unwrap();
    assert!(ack.starts_with("OK JOB id=job_0001 window=win-1 seq="), "{ack}");
    assert_eq!(refused(&hive, CTL, &job("job_0001", "win-2")), Word::Invalid);
    assert_eq!(refused(&hive, CTL, &job("other", "win-1")), Word::Invalid, "a window lets one job out");
    until("the job is there", || has(&hive, "job_0001"));
    let file = |name: &str| conn_read(&hive, &format!("{JOBS}/job_0001/{name}"));
    let telemetry = file("telemetry.cbor");
    let holds = |text: &[u8]| telemetry.windows(text.len()).any(|window| window == text);
    assert!(holds(b"\x45mine\n") && !holds(b"too much") && !holds(b"another's"), "{telemetry:?}");
    assert_eq!(file("base_model.ref"), b"llama3-edge\n");
    let policy = String::from_utf8(file("policy.toml")).unwrap();
    for line in ["job = \"job_0001\"", "window = \"win-1\"", "bytes = 5", "records = 1", "truncated = true"] {
        assert!(policy.lines().any(|found| found == line), "{line} is not in\n{policy}");
    }
    assert_eq!(
        conn.open_path(&format!("{JOBS}/job_0001/policy.toml"), 2).unwrap_err().word(),
        Some(Word::Permission)
    );
    hive.kill("telemetry");
    until("the job is still there", || has(&hive, "job_0001"));
    assert_eq!(file("telemetry.cbor"), telemetry);
    hive.command(CTL, &(job("job_0002", "win-2") + "\n")).unwrap();
    until("the second is there", || has(&hive, "job_0002"));
    let both = conn_read(&hive, &format!("{JOBS}/job_0002/telemetry.cbor"));
    assert!(
        [&b"too much\n"[..], b"another's\n"].iter().all(|text| both.windows(text.len()).any(|w| w == *text))
    );
    hive.command(CTL, "{\"close\":\"win-1\"}\n").unwrap();
    until("the first is gone", || !has(&hive, "job_0001"));
    assert!(has(&hive, "job_0002"));
    let replay = hive.print("cohreplay", &[]);
    assert!(replay.starts_with("ok records="), "{replay}");
}

fn conn_read(hive: &Hive, path: &str) -> Vec<u8> {
    hive.dial().unwrap().read_all(path).unwrap()
}
