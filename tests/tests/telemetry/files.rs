//! Files through cohpush and cohpull.

use crate::{is_long, memory, ready};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;
use tests::Hive;

const CLIENTS: u64 = 8;
const MIB: u64 = 1 << 20;

/// Writes a file of `bytes` that is like no other; where it is long, most of it is a hole.
fn make(path: &Path, client: u64, bytes: u64) {
    let file = File::create(path).unwrap();
    file.set_len(bytes).unwrap();
    let step = if bytes > 200 * MIB { 16 * MIB } else { 4096 };
    let mut word = client.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for at in (0..bytes).step_by(usize::try_from(step).unwrap()) {
        let mut block = Vec::new();
        while block.len() < 4096 {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            block.extend(word.to_le_bytes());
        }
        let len = block.len().min(usize::try_from(bytes - at).unwrap());
        file.write_all_at(&block[..len], at).unwrap();
    }
}

/// Are two files the same, byte for byte?
fn same(a: &Path, b: &Path) -> bool {
    let (mut a, mut b) = (File::open(a).unwrap(), File::open(b).unwrap());
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let n = a.read(&mut left).unwrap();
        if n == 0 {
            return b.read(&mut right).unwrap() == 0;
        }
        if b.read_exact(&mut right[..n]).is_err() || left[..n] != right[..n] {
            return false;
        }
    }
}

fn all(dir: &Path) -> Vec<(String, u64)> {
    let mut names: Vec<(String, u64)> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .collect();
    names.sort();
    names
}

#[test]
fn what_eight_clients_push_at_once_is_what_is_pulled() {
    let hive = ready(Hive::start(&[]));
    let store = hive.path("store");
    let store = store.to_str().unwrap();
    let sizes: &[u64] = if is_long() {
        &[1_000_000, 10_000_000, 100_000_000, 1_000_000_000]
    } else {
        &[1000, 100_000, 3_000_000]
    };
    for bytes in sizes {
        let before = memory(&hive, "VmRSS");
        let name = |client| hive.path(&format!("{bytes}-{client}"));
        (0..CLIENTS).for_each(|client| make(&name(client), client + bytes, *bytes));
        let start = Instant::now();
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (hive, path, device) = (&hive, name(client), format!("dev-{client}"));
                scope.spawn(move || {
                    let path = path.to_str().unwrap();
                    hive.print("cohpush", &[path, "--device", &device, "--store", store]);
                });
            }
        });
        // What all of the hive's processes have ever had, beyond what they had before.
        let grown = memory(&hive, "VmHWM").saturating_sub(before);
        let pushed = start.elapsed();
        assert!(grown < 32 << 10, "{grown} KiB for {CLIENTS} times {bytes} bytes");
        let start = Instant::now();
        for client in 0..CLIENTS {
            let (device, out) = (format!("dev-{client}"), hive.path("out"));
            hive.print("cohpull", &[&device, "-o", out.to_str().unwrap()]);
            let artefact = out.join(format!("artefact/{bytes}-{client}"));
            let file = || all(&out.join("file")).pop().map(|(name, _)| out.join("file").join(name));
            let pulled = if artefact.exists() { artefact } else { file().unwrap() };
            assert!(same(&pulled, &name(client)), "{}", pulled.display());
            fs::remove_dir_all(&out).unwrap();
            fs::remove_file(name(client)).unwrap();
        }
        let pulled = start.elapsed();
        println!(
            "{CLIENTS} x {bytes} bytes: {grown} KiB more of the hive's memory; pushed in {:.1} s, pulled in {:.1} s",
            pushed.as_secs_f64(),
            pulled.as_secs_f64()
        );
    }
}

#[test]
fn a_pull_goes_on_where_it_was_and_makes_nothing_twice() {
    let hive = ready(Hive::start(&[]));
    let (big, small, store, out) =
        (hive.path("big"), hive.path("a.txt"), hive.path("store"), hive.path("out"));
    make(&big, 7, 2_000_000);
    fs::write(&small, "line\n".repeat(5000)).unwrap();
    let (store, to) = (store.to_str().unwrap(), out.to_str().unwrap());
    let push = |file: &Path| {
        let file = file.to_str().unwrap();
        hive.print("cohpush", &[file, "--device", "d", "--store", store, "--chunk", "65536"])
    };
    push(&small);
    assert!(push(&big).contains("state=sealed"));
    assert!(push(&big).contains("state=there"), "the same again has no effect");
    let said = hive.print("cohpull", &["d", "-o", to]);
    assert!(
        same(&out.join("artefact/big"), &big) && same(&out.join("file/seg-000001.txt"), &small),
        "{said}"
    );
    let before = (all(&out.join("seg")), all(&out.join("file")), all(&out.join("artefact")));
    let again = hive.print("cohpull", &["d", "-o", to]);
    assert!(again.lines().take(2).all(|line| line.ends_with("new=0")), "{again}");
    assert_eq!(before, (all(&out.join("seg")), all(&out.join("file")), all(&out.join("artefact"))));
    // As a break leaves it: a segment in part, an artefact in part, its last piece torn.
    let segment = File::options().write(true).open(out.join("seg/seg-000001")).unwrap();
    segment.set_len(10_001).unwrap();
    let mut bytes = fs::read(out.join("artefact/big")).unwrap();
    fs::remove_file(out.join("artefact/big")).unwrap();
    bytes.truncate(700_000);
    bytes[690_000] ^= 1;
    fs::write(out.join("artefact/.big.part"), bytes).unwrap();
    hive.print("cohpull", &["d", "-o", to]);
    assert!(same(&out.join("artefact/big"), &big) && same(&out.join("file/seg-000001.txt"), &small));
    assert_eq!(before, (all(&out.join("seg")), all(&out.join("file")), all(&out.join("artefact"))));
    // A copy that is none is not gone on with.
    segment.write_all_at(b"other", 20).unwrap();
    segment.set_len(4000).unwrap();
    let refused = hive.program("cohpull", &["d", "-o", to]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("move it away"), "{refused:?}");
}

#[test]
fn a_device_that_is_none_is_not_pulled() {
    let hive = ready(Hive::start(&[]));
    let out = hive.path("out");
    let refused = hive.program("cohpull", &["none", "-o", out.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1), "{said}");
    assert!(said.contains("/queen/telemetry/none: NotFound: no such device"), "{said}");
    assert!(!out.exists(), "nothing is made for it");
}

#[test]
fn a_chunk_that_is_not_what_it_was_is_told_and_not_used() {
    let hive = ready(Hive::start(&[]));
    let (big, store, out) = (hive.path("big"), hive.path("store"), hive.path("out"));
    make(&big, 9, 1_500_000);
    let (file, to) = (big.to_str().unwrap(), out.to_str().unwrap());
    hive.print("cohpush", &[file, "--device", "d", "--store", store.to_str().unwrap(), "--chunk", "65536"]);
    let chunk = fs::read_dir(&store)
        .unwrap()
        .flat_map(|dir| fs::read_dir(dir.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .find(|path| fs::metadata(path).unwrap().len() == 65536)
        .unwrap();
    let good = fs::read(&chunk).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 1;
    fs::write(&chunk, &bad).unwrap();
    let refused = hive.program("cohpull", &["d", "-o", to]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("its sha256 is"), "{said}");
    assert_eq!(all(&out.join("artefact")).iter().filter(|(name, _)| !name.starts_with('.')).count(), 0);
    fs::write(&chunk, &good).unwrap();
    hive.print("cohpull", &["d", "-o", to]);
    assert!(same(&out.join("artefact/big"), &big));
}

#[test]
fn a_push_that_was_broken_off_goes_on() {
    let hive = ready(Hive::start(&[]));
    let small = hive.path("a.txt");
    let text: String = (0..3000).map(|i| format!("line {i}\n")).collect();
    fs::write(&small, &text).unwrap();
    let path = small.to_str().unwrap();
    hive.print("cohpush", &[path, "--device", "d"]);
    let whole = hive.read("/queen/telemetry/d/seg/seg-000001").unwrap();
    // Another segment that has the first records alone, one of them twice.
    let segment = crate::new_segment(&hive, "e");
    let mut conn = hive.dial().unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    for line in [lines[0], lines[1], lines[1]] {
        crate::append(&mut conn, &segment, line.as_bytes()).unwrap();
    }
    hive.print("cohpush", &[path, "--device", "e", "--resume", "seg-000001"]);
    let out = hive.path("out");
    hive.print("cohpull", &["e", "-o", out.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(out.join("file/seg-000001.txt")).unwrap(), text);
    let mut other = File::create(&small).unwrap();
    other.write_all(b"another file\n").unwrap();
    let refused = hive.program("cohpush", &[path, "--device", "e", "--resume", "seg-000001"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("has another file in it"), "{refused:?}");
}

#[test]
fn what_the_hive_does_not_take_is_refused_before_anything_is_made() {
    let more = "[telemetry]\ninline_bytes = 4096\nartefact_bytes = 8192\nmax_refs = 1\nmimes = [\"text/*\", \"application/octet-stream\"]\n";
    let hive = ready(Hive::edited(|shipped| shipped.replace("[telemetry]\n", more), |_| {}));
    let store = hive.path("store");
    let store = store.to_str().unwrap();
    for (name, bytes, options, why) in [
        ("a.json", 10, &[][..], "application/json: this hive takes text/* application/octet-stream"),
        ("a.bin", 5000, &[], "more than 4096 go by reference"),
        ("a.bin", 9000, &["--store", store], "this hive takes 8192"),
        ("a.bin", 8192, &["--store", store, "--chunk", "4096"], "more than 1; raise --chunk"),
    ] {
        let path = hive.path(name);
        make(&path, 1, bytes);
        let words = [&[path.to_str().unwrap(), "--device", "d"], options].concat();
        let refused = hive.program("cohpush", &words);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && said.contains(why), "{said}");
    }
    assert_eq!(hive.print("cohls", &["/queen/telemetry"]), "");
}
