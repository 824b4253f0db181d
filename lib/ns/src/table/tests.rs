use super::*;
use alloc::vec;
use std::format;

fn table(text: &str) -> Table {
    let vars = Vars { subject: Some("worker-3"), shard: Some("4f") };
    Table::parse(text, &vars).expect(text)
}

/// What a path is, in words: the entry's line, `ro` where it is, and the rest.
fn show(table: &Table, text: &str) -> String {
    let path = Path::parse(text).expect(text);
    match table.resolve(&path) {
        Resolved::NotFound => "not found".into(),
        Resolved::Synthetic => "synthetic".into(),
        Resolved::Mount(place) => {
            let Some(Entry::Mount { server, spec, .. }) = table.entry(place.entry) else {
                panic!("{text}: a place is in a mount")
            };
            let rest: Vec<&str> = place.rest(&path).collect();
            let ro = if place.ro { " ro" } else { "" };
            let below = if place.below { " below" } else { "" };
            format!("{server}[{spec}]{ro}{below} {}", rest.join("/"))
        }
    }
}

const QUEEN: &str = "\
mount -r proc /proc
mount -r queen /proc/lifecycle lifecycle
mount door /proc/9p 9p
mount queen /queen
mount worker /worker
mount worker /shard shard
";

#[test]
fn the_longest_mount_point_decides() {
    let table = table(QUEEN);
    assert_eq!(show(&table, "/proc/boot"), "proc[] ro boot");
    assert_eq!(show(&table, "/proc/9p/self/errstr"), "door[9p] self/errstr");
    assert_eq!(show(&table, "/proc/lifecycle"), "queen[lifecycle] ro ");
    assert_eq!(show(&table, "/proc/9pp"), "proc[] ro 9pp");
    assert_eq!(show(&table, "/queen/ctl"), "queen[] ctl");
    assert_eq!(show(&table, "/nothing"), "not found");
}

#[test]
fn a_place_says_whether_mounts_lie_below_it() {
    let table = table(QUEEN);
    assert_eq!(show(&table, "/proc"), "proc[] ro below ");
    assert_eq!(show(&table, "/"), "synthetic");
    assert_eq!(table.children::<&str>(&[]), ["proc", "queen", "shard", "worker"]);
    assert_eq!(table.children(&["proc"]), ["9p", "lifecycle"]);
    assert_eq!(table.children(&["queen"]), [""; 0]);
    assert!(table.has_below(&["proc"]) && !table.has_below(&["proc", "9p"]));
}

#[test]
fn the_later_of_equals_covers() {
    let table = table("mount a /x\nmount b /x\n");
    assert_eq!(show(&table, "/x/f"), "b[] f");
}

#[test]
fn directories_on_the_way_to_a_mount_exist() {
    let table = table("mount a /x/y/z\n");
    assert_eq!(show(&table, "/x"), "synthetic");
    assert_eq!(show(&table, "/x/y"), "synthetic");
    assert_eq!(show(&table, "/x/q"), "not found");
    assert_eq!(table.children(&["x"]), ["y"]);
}

#[test]
fn a_bind_shows_what_was_there_when_it_was_made() {
    let table = table("mount a /x\nbind /x /y\nmount b /x\n");
    assert_eq!(show(&table, "/y/f"), "a[] f");
    assert_eq!(show(&table, "/x/f"), "b[] f");
}

#[test]
fn a_bind_of_a_subtree_puts_its_names_first() {
    let table = table("mount a /x\nbind /x/p/q /y\nbind /y/r /z\n");
    assert_eq!(show(&table, "/y/f"), "a[] p/q/f");
    assert_eq!(show(&table, "/z/f"), "a[] p/q/r/f");
}

#[test]
fn a_bind_carries_the_mounts_below_it() {
    let table = table(&format!("{QUEEN}bind /proc /facts\n"));
    assert_eq!(show(&table, "/facts/9p/sessions"), "door[9p] sessions");
    assert_eq!(show(&table, "/facts"), "proc[] ro below ");
    assert_eq!(table.children(&["facts"]), ["9p", "lifecycle"]);
}

#[test]
fn read_only_anywhere_on_the_way_is_read_only() {
    let table = table("mount a /a\nmount -r b /b\nbind -r /a /c\nbind /b /d\nbind /c /e\n");
    assert_eq!(show(&table, "/a/f"), "a[] f");
    for path in ["/b/f", "/c/f", "/d/f", "/e/f"] {
        assert!(show(&table, path).contains(" ro "), "{path}");
    }
}

#[test]
fn a_worker_sees_its_own_by_three_names() {
    let table = table(
        "mount worker /worker/$subject $subject\n\
         mount worker /shard/$shard/worker/$subject $subject\n\
         bind /worker/$subject /worker/self\n",
    );
    for path in
        ["/worker/worker-3/telemetry", "/shard/4f/worker/worker-3/telemetry", "/worker/self/telemetry"]
    {
        assert_eq!(show(&table, path), "worker[worker-3] telemetry");
    }
    assert_eq!(show(&table, "/worker/worker-4/telemetry"), "not found");
    assert_eq!(show(&table, "/worker"), "synthetic");
    assert_eq!(table.children(&["worker"]), ["self", "worker-3"]);
}

#[test]
fn a_mount_at_the_root_is_under_everything() {
    let table = table("mount a /\nmount b /b\n");
    assert_eq!(show(&table, "/"), "a[] below ");
    assert_eq!(show(&table, "/x/y"), "a[] x/y");
    assert_eq!(show(&table, "/b/y"), "b[] y");
    assert_eq!(table.entry(0).map(|entry| entry.to_string()).as_deref(), Some("mount a /"));
}

#[test]
fn an_empty_table_has_a_root_and_nothing_else() {
    let table = Table::default();
    assert_eq!(show(&table, "/"), "synthetic");
    assert_eq!(show(&table, "/a"), "not found");
}

#[test]
fn what_would_contain_itself_is_refused() {
    for (text, bind) in [
        ("mount a /a\n", ("/a", "/a")),
        ("mount a /a\n", ("/a", "/a/b")),
        ("mount a /a\n", ("/a/b", "/a")),
        ("mount a /a\n", ("/", "/b")),
        ("mount a /a\n", ("/a", "/")),
        ("mount a /a\nbind /a /b\n", ("/b", "/a")),
        ("mount a /a\nbind /a /b\nbind /b/x /c\n", ("/c", "/a/x/y")),
    ] {
        let mut table = table(text);
        let before = table.clone();
        assert!(
            matches!(table.bind(bind.0, bind.1, false), Err(Refused::Cycle(..))),
            "{bind:?} after {text}"
        );
        assert_eq!(table, before);
    }
}

#[test]
fn an_entry_that_cannot_be_is_refused_and_changes_nothing() {
    let mut table = table(QUEEN);
    let before = table.clone();
    assert_eq!(table.bind("/nothing", "/x", false), Err(Refused::Nowhere("/nothing".into())));
    assert_eq!(
        table.bind("/proc", "/1/2/3/4/5/6/7/8/9", false).expect_err("deep").to_string(),
        "\"/1/2/3/4/5/6/7/8/9\": a path has at most 8 components"
    );
    assert!(matches!(table.bind("/proc", "/x\ny", false), Err(Refused::Control(_))));
    assert!(matches!(table.mount("Gpu", "/gpu", "", false), Err(Refused::Server(_))));
    assert!(matches!(table.mount("gpu", "/gpu", "a//b", false), Err(Refused::Path(..))));
    assert!(matches!(table.mount("gpu", "/gpu", "../x", false), Err(Refused::Path(_, PathError::Dot))));
    assert!(matches!(table.mount("gpu", "gpu", "", false), Err(Refused::Path(_, PathError::Relative))));
    assert_eq!(table, before);
}

#[test]
fn a_bind_cannot_grow_beyond_a_paths_depth() {
    let mut table = table("mount a /a\nbind /a/1/2/3/4/5/6/7 /b\n");
    assert!(matches!(table.bind("/b/x", "/c", false), Err(Refused::Path(_, PathError::TooDeep))));
    assert_eq!(table.bind("/b", "/c", false), Ok(()));
}

#[test]
fn a_table_is_bounded() {
    let mut table = table("mount a /a\n");
    for i in 1..MAX_ENTRIES {
        assert_eq!(table.bind("/a", &format!("/b{i}"), false), Ok(()));
    }
    assert_eq!(table.bind("/a", "/more", false), Err(Refused::Full));
    let mut table = Table::default();
    let long = vec!["x".repeat(255); 8].join("/");
    let old = format!("/{long}");
    let full = (0..MAX_ENTRIES).find_map(|_| table.mount("a", &old, &long, false).err());
    assert_eq!(full, Some(Refused::Full));
}

#[test]
fn a_session_writes_its_table_a_line_at_a_time() {
    let mut table = table(QUEEN);
    assert_eq!(table.apply("bind /shard /shadow"), Ok(()));
    assert_eq!(table.apply("  # nothing\n"), Ok(()));
    assert_eq!(show(&table, "/shadow/4f"), "worker[shard] 4f");
    assert_eq!(
        table.apply("bind /worker/$subject /me").expect_err("no variables").to_string(),
        "ns:1: $subject: this session has none"
    );
    assert!(table.apply(". queen").is_err());
    assert!(table.to_string().ends_with("bind /shard /shadow\n"));
}

#[test]
fn a_tables_own_text_fed_back_leaves_it_as_it_was() {
    let mut it = table(QUEEN);
    it.apply("bind /shard /shadow\nbind /shadow/4f /mine\nmount -r log '/my log'\n").expect("applies");
    let text = it.to_string();
    for _ in 0..3 {
        assert_eq!(it.apply(&text), Ok(()));
        assert_eq!(it.to_string(), text);
    }
    // A full one, too.
    (it.len()..MAX_ENTRIES).for_each(|i| it.apply(&format!("bind /shard /q{i}")).expect("has room"));
    let full = it.to_string();
    assert_eq!((it.apply(&full), it.to_string()), (Ok(()), full));
}

#[test]
fn a_line_that_would_change_something_is_added_though_it_was_there() {
    let mut it = table("mount log /log\nmount worker /worker\n");
    it.apply("bind /log /l\nbind /l /m\n").expect("applies");
    // It is covered, is not -r, or shows what has been covered since.
    it.apply("mount worker /l\nbind /log /l\n").expect("applies");
    it.apply("mount -r log /log\n").expect("applies");
    it.apply("bind /log /l\nbind /l /m\n").expect("applies");
    assert_eq!(
        it.to_string().lines().skip(2).collect::<Vec<_>>(),
        [
            "bind /log /l",
            "bind /l /m",
            "mount worker /l",
            "bind /log /l",
            "mount -r log /log",
            "bind /log /l",
            "bind /l /m"
        ]
    );
    assert_eq!(show(&it, "/m/x"), "log[] ro x");
}

#[test]
fn an_error_in_a_text_names_its_line_and_what_was_refused() {
    let mut it = table(QUEEN);
    let error = it.apply("# mine\nbind /shard /s\nbind /nope /n\n").expect_err("no such NEW");
    assert_eq!(error.to_string(), "ns:3: /nope: nothing is mounted there");
    assert_eq!(error.refused, Some(Refused::Nowhere("/nope".into())));
    let error = it.apply("\n\n\nfrob\n").expect_err("no verb");
    assert_eq!((error.line, error.refused), (4, None));
}

#[test]
fn odd_names_are_quoted_and_come_back() {
    let mut odd = Table::default();
    assert_eq!(odd.mount("a", "/it's a $name #1", "-r", true), Ok(()));
    assert_eq!(odd.bind("/it's a $name #1/;", "/ä", false), Ok(()));
    assert_eq!(odd.to_string(), "mount -r a '/it''s a $name #1' '-r'\nbind '/it''s a $name #1/;' /ä\n");
    assert_eq!(table(&odd.to_string()), odd);
}
