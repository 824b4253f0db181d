//! What bind files may say, and what a role may reach.

use crate::house::House;

#[test]
#[rustfmt::skip]
fn bind_files_are_checked_line_by_line() {
    for (line, says) in [
        ("mount -r proc", "mount [-r] SERVER OLD [SPEC] expected"),
        ("mount proc /1/2/3/4/5/6/7/8/9", "\"/1/2/3/4/5/6/7/8/9\": a path has at most 8 components"),
        ("mount frob /frob", "mount frob /frob: frob found; log, proc, queen, worker, door, telemetry, trace, policy, audit, console, updates, gpu, host, bus, lora, spool, attest allowed"),
        ("mount proc /x nothing", "mount proc /x nothing: nothing found; proc serves boot, version, tests"),
        ("mount queen /x spool", "mount queen /x spool: spool found; queen serves ctl, lifecycle, lease, schedule, export, root, proc"),
        ("mount queen /x lifecycle/ctl", "mount queen /x lifecycle/ctl: ctl found; queen serves state, reason, since"),
        ("mount log /x audit.log", "mount log /x audit.log: audit.log found; log serves queen.log"),
        ("mount door /x", "mount door /x: no SPEC; door serves 9p, pressure"),
        ("mount door /x ctl", "mount door /x ctl: ctl found; door serves 9p, pressure"),
        ("bind /nothing /x", "/nothing: nothing is mounted there"),
        ("bind /queen /queen/q", "/queen at /queen/q: one lies within the other"),
        ("bind /x/../queen /q", "\"/x/../queen\": . and .. are no names here"),
        ("mount worker /w $name", "$name found; $subject and $shard allowed"),
        ("union /a /b", "union found; mount, bind and . allowed"),
        (". nothing", ". nothing: bind/nothing: No such file or directory (os error 2)"),
    ] {
        let house = House::new().append("bind/queen", &format!("{line}\n"));
        let at = house.read("bind/queen").lines().count();
        assert_eq!(house.says(), format!("bind/queen:{at}: {says}"));
    }
}

#[test]
fn a_role_without_its_file_is_the_manifests_fault() {
    assert_eq!(
        House::new().edit("observer = \"observer\"", "observer = \"watcher\"").says(),
        "sys/hive.toml:N: roles.observer: bind/watcher: No such file or directory (os error 2)"
    );
    let said = House::new().edit("[roles]", "[namespaces]\ndir = \"elsewhere\"\n[roles]").says();
    assert!(said.contains("roles.observer: sys/elsewhere/observer: No such file"), "{said}");
}

#[test]
#[rustfmt::skip]
fn no_worker_role_reaches_the_queen_another_worker_or_a_ctl() {
    let own = "may reach of worker only $subject, shard/$shard/worker/$subject";
    for (line, says) in [
        ("mount queen /queen", "may not reach queen"),
        ("mount -r queen /queen", "may not reach queen"),
        ("mount -r queen /elsewhere ctl", "may not reach queen"),
        ("mount -r queen /proc/queen proc", "may not reach queen"),
        ("mount worker /worker", own),
        ("mount -r worker /worker/worker-1 worker-1", own),
        ("mount worker /shard shard", own),
        ("mount worker /shard shard/$shard/worker", own),
        ("mount worker /x $subject.2", own),
        ("mount -r door /proc/9p 9p", "may reach of door only 9p/self, pressure"),
        ("mount door /proc/9p/self 9p/self", "may only read that; write mount -r"),
        ("mount log /log", "may reach of log only queen.log"),
        ("mount log /log/queen.log queen.log", "may only read that; write mount -r"),
        ("mount proc /proc/boot boot", "may only read that; write mount -r"),
        // Nor what is not built yet: the file is right before its server is.
        ("mount policy /policy", "may not reach policy"),
        ("mount -r audit /audit", "may not reach audit"),
        ("mount gpu /gpu", "may reach of gpu only leased, models"),
        ("mount host /host", "may not reach host"),
    ] {
        for role in ["worker-heartbeat", "worker-gpu", "worker-bus", "worker-lora"] {
            let said = House::new().append(&format!("bind/{role}"), &format!("{line}\n")).says();
            assert!(said.ends_with(&format!(": {line}: {role} {says}")), "{role} {line}:\n{said}");
        }
    }
}

#[test]
fn a_wrong_line_is_named_in_the_file_that_has_it() {
    let said = House::new().append("bind/worker", "mount queen /queen\n").says();
    assert_eq!(said.lines().count(), 4, "once a role:\n{said}");
    assert!(said.lines().all(|line| line.starts_with("bind/worker:")), "{said}");
}

#[test]
fn a_worker_role_may_see_less() {
    let text = "mount -r worker /mine $subject/telemetry\nmount -r door /errstr 9p/self/errstr\n";
    assert_eq!(House::new().write("bind/worker-gpu", text).compile().map(|_| ()), Ok(()));
}

#[test]
fn an_observer_only_reads() {
    let said = House::new().append("bind/observer", "mount log /logs\n").says();
    assert!(said.ends_with(": mount log /logs: observer changes nothing; write mount -r"), "{said}");
}

#[test]
fn an_alias_that_is_off_is_not_used() {
    let off = || House::new().edit("shard_bits = 8", "shard_bits = 8\nworker_alias = false");
    let said = off().says();
    let why = "telemetry.worker_alias is false; use the path below /shard";
    for line in [
        "mount worker /worker",
        "mount worker /worker/$subject $subject",
        "bind /worker/$subject /worker/self",
    ] {
        assert!(said.contains(&format!(": {line}: {why}")), "{line}:\n{said}");
    }
    let queen = off().read("bind/queen").replace("mount worker /worker\n", "");
    let worker = "mount worker /shard/$shard/worker/$subject shard/$shard/worker/$subject\n";
    let house = || off().write("bind/worker", worker).write("bind/queen", &queen);
    assert_eq!(house().compile().map(|_| ()), Ok(()));
    // Nothing is there that the other SPEC could name.
    for line in
        ["mount worker /shard/$shard/worker/$subject $subject", "mount -r worker /mine $subject/telemetry"]
    {
        let said = house().append("bind/worker-gpu", &format!("{line}\n")).says();
        assert!(
            said.ends_with(&format!(": {line}: telemetry.worker_alias is false; use a SPEC below shard")),
            "{said}"
        );
    }
}

#[test]
fn paths_of_servers_that_are_off_do_not_exist() {
    let manifest = House::new().edit("[servers.proc]", "").compile().expect("it compiles").manifest;
    for (role, text) in &manifest.namespaces {
        assert!(!text.contains(" proc ") && !text.contains("gpu"), "{role}:\n{text}");
    }
}

/// Spec 2.1's table, role by role.
#[test]
fn the_roles_that_ship_see_what_they_should() {
    let manifest = House::new().compile().expect("it compiles").manifest;
    let vars = ns::Vars { subject: Some("worker-3"), shard: Some("4f") };
    let sees = |role: &str, path: &str| {
        let table = ns::Table::parse(&manifest.namespaces[role], &vars).expect(role);
        let path = ns::Path::parse(path).expect(path);
        match table.resolve(&path) {
            ns::Resolved::Mount(place) if place.ro => "r",
            ns::Resolved::Mount(_) => "rw",
            ns::Resolved::Synthetic => "dir",
            ns::Resolved::NotFound => "-",
        }
    };
    for (path, queen, worker, observer) in [
        ("/", "dir", "dir", "dir"),
        ("/proc", "r", "dir", "r"),
        ("/proc/boot", "r", "r", "r"),
        ("/proc/version", "r", "-", "r"),
        ("/proc/9p/sessions", "rw", "-", "r"),
        ("/proc/9p/self/errstr", "rw", "r", "r"),
        ("/proc/9p/self/ns", "rw", "r", "r"),
        ("/proc/pressure/busy", "r", "-", "r"),
        ("/proc/lifecycle/state", "r", "-", "r"),
        ("/proc/queen/workers", "r", "-", "r"),
        ("/queen/ctl", "rw", "-", "-"),
        ("/log/queen.log", "rw", "r", "r"),
        ("/worker/worker-3/telemetry", "rw", "rw", "-"),
        ("/worker/worker-4/telemetry", "rw", "-", "-"),
        ("/worker/self/telemetry", "rw", "rw", "-"),
        ("/shard/4f/worker/worker-3/telemetry", "rw", "rw", "-"),
        ("/shard/4f/worker/worker-4/telemetry", "rw", "-", "-"),
        ("/shard/50/worker/worker-3/telemetry", "rw", "-", "-"),
        ("/gpu", "-", "-", "-"),
    ] {
        assert_eq!(sees("queen", path), queen, "queen {path}");
        assert_eq!(sees("observer", path), observer, "observer {path}");
        for role in ["worker-heartbeat", "worker-gpu", "worker-bus", "worker-lora"] {
            assert_eq!(sees(role, path), worker, "{role} {path}");
        }
    }
}
