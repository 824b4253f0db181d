//! What each server serves, and to whom it talks: what bind files may name, what worker roles
//! may reach, and which channels init and the root task make.

/// A server that this source knows.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Its name in manifests and bind files.
    pub name: &'static str,
    /// Its program; empty: not part of this build.
    pub program: &'static str,
    /// A hive cannot be without it.
    pub core: bool,
    /// Default of `required`.
    pub required: bool,
    /// Default of `memory_kib`.
    pub memory_kib: i64,
    /// What it serves.
    pub roots: &'static [Root],
    /// Which specs a worker role may mount; `true`: with `-r` only. A spec below one counts.
    pub for_workers: &'static [(&'static str, bool)],
    /// Whom it talks to besides the door's clients: server and internal root.
    pub talks_to: &'static [(&'static str, &'static str)],
    /// What it is: a phrase.
    pub doc: &'static str,
}

/// A tree that a server serves; the name `""` is its main tree.
#[derive(Clone, Copy, Debug)]
pub struct Root {
    /// The first component of a SPEC that names it.
    pub name: &'static str,
    /// What is directly in it.
    pub names: Names,
}

/// What is directly in a tree.
#[derive(Clone, Copy, Debug)]
pub enum Names {
    /// These.
    Fixed(&'static [&'static str]),
    /// The manifest's log streams.
    Streams,
    /// Known only at run time.
    Any,
}

/// The roles that exist.
pub const ROLES: &[&str] =
    &["queen", "worker-heartbeat", "worker-gpu", "worker-bus", "worker-lora", "observer"];

/// The kinds of worker that a spawn may name; each has the role `worker-KIND`.
pub const KINDS: &[&str] = &["heartbeat", "gpu", "bus", "lora"];

const fn root(name: &'static str, names: &'static [&'static str]) -> Root {
    Root { name, names: Names::Fixed(names) }
}

const fn any(name: &'static str) -> Root {
    Root { name, names: Names::Any }
}

/// A server that later parts of the system bring: bind files may name it already, its lines are
/// skipped until then.
const fn later(
    name: &'static str,
    for_workers: &'static [(&'static str, bool)],
    doc: &'static str,
) -> Served {
    Served {
        name,
        program: "",
        core: false,
        required: false,
        memory_kib: 8192,
        roots: &[],
        for_workers,
        talks_to: &[],
        doc,
    }
}

const SINK: (&str, &str) = ("log", "sink");

/// All servers, those of this build and those to come.
pub const SERVERS: &[Served] = &[
    Served {
        name: "log",
        program: "logfs",
        core: true,
        required: true,
        memory_kib: 8192,
        roots: &[Root { name: "", names: Names::Streams }],
        for_workers: &[("queen.log", true)],
        talks_to: &[],
        doc: "append-only streams",
    },
    Served {
        name: "proc",
        program: "procfs",
        core: false,
        required: true,
        memory_kib: 4096,
        roots: &[root("", &["boot", "version", "tests"])],
        for_workers: &[("boot", true), ("version", true)],
        talks_to: &[SINK, ("init", "")],
        doc: "facts of this boot",
    },
    Served {
        name: "queen",
        program: "queenfs",
        core: true,
        required: true,
        memory_kib: 16_384,
        roots: &[
            root("", &["ctl", "lifecycle", "lease", "schedule", "export"]),
            root("lifecycle", &["state", "reason", "since"]),
            root("lease", &["summary", "active", "preemptions"]),
            root("schedule", &["summary", "queue"]),
            root("root", &["reachable", "last_seen_ms", "cut_reason"]),
            root("proc", &["workers", "dedupe"]),
        ],
        for_workers: &[],
        talks_to: &[
            SINK,
            ("init", ""),
            ("worker", "ctl"),
            ("door", "ctl"),
            ("policy", "in"),
            ("audit", "in"),
            ("telemetry", "in"),
        ],
        doc: "the authority: lifecycle, workers, leases, schedule",
    },
    Served {
        name: "worker",
        program: "workerfs",
        core: false,
        required: true,
        memory_kib: 131_072,
        roots: &[any(""), any("shard")],
        for_workers: &[("$subject", false), ("shard/$shard/worker/$subject", false)],
        talks_to: &[SINK, ("queen", "in"), ("telemetry", "in")],
        doc: "telemetry rings and cursors of workers",
    },
    Served {
        name: "door",
        program: "ninedoor",
        core: true,
        required: true,
        memory_kib: 655_360,
        roots: &[
            root("9p", &["sessions", "outstanding", "short_writes", "session", "self"]),
            root("pressure", &["busy", "quota", "cut", "policy"]),
        ],
        for_workers: &[("9p/self", true), ("pressure", true)],
        talks_to: &[SINK, ("queen", "in"), ("audit", "in")],
        doc: "sessions, mount tables, routing; the only way in",
    },
    Served {
        name: "telemetry",
        program: "telemetryfs",
        core: false,
        required: false,
        memory_kib: 32_768,
        roots: &[
            any("telemetry"),
            root(
                "ingest",
                &[
                    "p50_ms",
                    "p95_ms",
                    "backpressure",
                    "dropped",
                    "queued",
                    "records",
                    "bytes",
                    "limits",
                    "watch",
                ],
            ),
            any("lora_jobs"),
        ],
        for_workers: &[],
        talks_to: &[SINK, ("audit", "in"), ("policy", "in"), ("queen", "in")],
        doc: "device segments, ingest statistics",
    },
    Served {
        name: "trace",
        program: "tracefs",
        core: false,
        required: false,
        memory_kib: 16_384,
        roots: &[root("", &["ctl", "filter", "events", "kmesg"]), any("task")],
        for_workers: &[],
        talks_to: &[("audit", "in"), ("policy", "in")],
        doc: "trace rings and filters",
    },
    Served {
        name: "policy",
        program: "policyfs",
        core: false,
        required: true,
        memory_kib: 16_384,
        roots: &[root("", &["ctl", "rules", "preflight"]), any("actions")],
        for_workers: &[],
        // Its own control file asks the gate like any other.
        talks_to: &[SINK, ("audit", "in"), ("queen", "in"), ("policy", "in")],
        doc: "rules, approvals",
    },
    Served {
        name: "audit",
        program: "auditfs",
        core: false,
        required: true,
        memory_kib: 65_536,
        roots: &[
            root("", &["journal", "decisions", "export", "verify", "key"]),
            root("replay", &["ctl", "status"]),
        ],
        for_workers: &[],
        talks_to: &[SINK, ("queen", "in"), ("policy", "in")],
        doc: "the durable journal, and replay",
    },
    Served {
        name: "console",
        program: "consoled",
        core: false,
        required: false,
        memory_kib: 65_536,
        roots: &[],
        for_workers: &[],
        talks_to: &[SINK, ("audit", "in")],
        doc: "line consoles in front of the door",
    },
    later("updates", &[], "the content-addressed store"),
    later("gpu", &[("leased", false), ("models", true)], "GPUs, leases on the device, jobs, models"),
    later("host", &[], "systemd, docker, Kubernetes, NVIDIA, Jetson, network adapters"),
    later("bus", &[("own", false)], "field buses"),
    later("lora", &[("own", false)], "radio duty cycle"),
    later("spool", &[], "on-device persistence"),
    later("attest", &[], "device identity"),
];

/// The server with that name.
pub fn find(name: &str) -> Option<&'static Served> {
    SERVERS.iter().find(|server| server.name == name)
}

impl Served {
    /// Whether its program is part of this build.
    pub fn is_built(&self) -> bool {
        !self.program.is_empty()
    }
}
