//! Every key of `hive.toml`, once: what it may be, what it is when absent, and what it means.
//! The reader checks by this table, `coh-rtc --explain` prints it, manifest(5) includes it.
//!
//! A path's upper-case component stands for any name, `[]` for any element of an array.

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// An integer.
    Int(i64, i64),
    /// An integer that is a power of two.
    PowerOfTwo(i64, i64),
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Word(&'static [&'static str]),
    /// 1..64 of `a-z 0-9 -`.
    Name,
    /// One path component.
    File,
    /// A list of path components.
    Files,
    /// A path.
    Path,
    /// A list of the hive's paths, `*` for one component.
    Targets,
    /// A list of media types, `text/*` for all of a kind.
    Mimes,
    /// A secret by reference, never itself.
    Secret,
    /// A file by reference.
    FileReference,
    /// An Ed25519 public key.
    PublicKey,
    /// A list of processor cores.
    Cores,
    /// `HOST!PORT`, or a socket's path.
    Addr,
}

/// What a key is when the manifest does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It must be there.
    Refused,
    /// It is not there in the resolved manifest either.
    None,
    /// This number.
    Int(i64),
    /// This truth.
    Bool(bool),
    /// This text.
    Text(&'static str),
    /// A list of this text.
    List(&'static [&'static str]),
    /// What the server's own line says: see `servers` in manifest(5).
    ByServer,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its path, `ninep.msize`.
    pub path: &'static str,
    /// What it may be.
    pub allowed: Allowed,
    /// What it is when absent.
    pub absent: Absent,
    /// What it means: a phrase without a capital or a full stop.
    pub doc: &'static str,
}

const fn key(path: &'static str, allowed: Allowed, absent: Absent, doc: &'static str) -> Key {
    Key { path, allowed, absent, doc }
}

const fn int(path: &'static str, min: i64, max: i64, default: i64, doc: &'static str) -> Key {
    key(path, Allowed::Int(min, max), Absent::Int(default), doc)
}

const KIB: i64 = 1 << 10;
const MIB: i64 = 1 << 20;
const GIB: i64 = 1 << 30;
const YEAR_S: i64 = 31_536_000;
/// The largest number that JSON carries exactly.
const MOST: i64 = (1 << 53) - 1;

use Allowed as A;

/// All keys, in the order in which manifest(5) shows them.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("schema", A::Int(1, 1), Absent::Refused, "version of this format"),
    key("profile", A::Word(&["dev", "release"]), Absent::Text("dev"), "release refuses what is only fit for a bench: keys made on first start, fixture paths, no audit"),
    key("target", A::Word(&["hosted", "qemu-virt", "pi4-uboot", "aws-arm64"]), Absent::Text("hosted"), "what the hive runs on"),

    key("hive.name", A::Name, Absent::Text("hive"), "the hive's name, which is the audience of its tickets"),
    int("hive.memory_kib", 4 * KIB, 64 * MIB, 2 * MIB, "what all servers may take together, KiB"),

    key("namespaces.dir", A::Path, Absent::Text("../bind"), "where the bind files are, seen from the manifest"),
    key("roles.ROLE", A::File, Absent::None, "the bind file of a role; a role without one cannot attach"),

    key("servers.NAME.enabled", A::Bool, Absent::Bool(true), "false: as if the section were not there"),
    key("servers.NAME.required", A::Bool, Absent::ByServer, "without it the hive is DEGRADED"),
    key("servers.NAME.memory_kib", A::Int(KIB, 16 * MIB), Absent::ByServer, "what each of its processes may take, KiB"),
    key("servers.NAME.keep_kib", A::Int(0, 256 * KIB), Absent::Int(0), "memory for its files in an image, which has no disk: it outlives the process, not the machine, KiB"),
    key("servers.NAME.affinity", A::Cores, Absent::List(&[]), "the cores that it may run on; none: any"),
    key("servers.NAME.count", A::Int(1, 16), Absent::Int(1), "how many processes share the work; the door alone may have more than one, and they share its listeners (for worker see telemetry.worker_servers)"),

    key("listeners[].kind", A::Word(&["unix", "tcp", "tls"]), Absent::Refused, "what it listens on"),
    key("listeners[].addr", A::Addr, Absent::Refused, "unix: a socket's path, relative to the run directory; tcp and tls: HOST!PORT"),
    key("listeners[].fids", A::Word(&["strict", "reuse"]), Absent::Text("strict"), "whether a clunked fid number may come back; kernels' clients need reuse"),
    key("listeners[].overflow", A::Word(&["busy", "wait"]), Absent::Text("busy"), "what happens to a request beyond ninep.tags_per_session: refused, or not read yet"),
    key("listeners[].local_queen", A::Bool, Absent::Bool(false), "unix only: the user who runs the hive is a queen here without a ticket"),
    key("listeners[].cert", A::FileReference, Absent::None, "tls only: the certificate chain, PEM"),
    key("listeners[].key", A::Secret, Absent::None, "tls only: the secret key, PEM"),

    int("ninep.msize", 256, 8192, 8192, "largest frame, bytes; a larger offer is negotiated down"),
    int("ninep.tags_per_session", 1, 1024, 32, "requests in flight in one session"),
    int("ninep.fids_per_session", 8, 65_536, 256, "live fids in one session"),
    int("ninep.sessions", 1, 65_536, 16_384, "sessions at one door"),
    int("ninep.queue_bytes", 8 * KIB, 16 * MIB, 256 * KIB, "replies queued to a slow client before its requests stop being read"),
    int("ninep.channel_queue_bytes", 64 * KIB, GIB, 8 * MIB, "requests queued by the door to one server before it answers Busy"),
    int("ninep.idle_s", 0, 86_400, 0, "a session silent for so long is closed; 0: never"),
    int("ninep.handshake_s", 1, 600, 10, "a connection that has not attached by then is closed"),
    int("ninep.batch_frames", 1, 1024, 16, "frames of one session that the door handles before the next session's turn"),

    key("tickets.issuer", A::Secret, Absent::None, "the issuer's secret key; absent in the dev profile: issuer.key in the data directory, made on first start"),
    int("tickets.max_scopes", 0, 64, 8, "scopes in one ticket"),
    int("tickets.max_scope_path", 1, 2048, 128, "length of a scope's path, bytes"),
    int("tickets.max_rate_per_s", 0, 1_000_000, 64, "largest rate of a scope, requests per second; 0: unlimited"),
    int("tickets.bandwidth_bytes", 0, MOST, 128 * KIB, "largest byte quota of a ticket; 0: unlimited"),
    int("tickets.cursor_resumes", 0, 1_000_000, 16, "largest quota of cursor resumptions; 0: unlimited"),
    int("tickets.cursor_advances", 0, 1_000_000_000, 256, "largest quota of cursor advances; 0: unlimited"),
    key("tickets.keys.ID", A::PublicKey, Absent::None, "a public key that is accepted; two during a rotation; the id dev is that of the key made on first start"),

    key("log.streams", A::Files, Absent::List(&["queen.log"]), "the files of /log; queen.log is among them"),
    key("log.ring_bytes", A::PowerOfTwo(4 * KIB, 256 * MIB), Absent::Int(MIB), "size of each stream's ring"),

    key("telemetry.ring_bytes", A::PowerOfTwo(4 * KIB, 16 * MIB), Absent::Int(256 * KIB), "size of a worker's ring, allocated as it fills"),
    int("telemetry.record_bytes", 64, 8169, 4096, "largest record; it must fit a write, which holds ninep.msize - 23 bytes"),
    int("telemetry.budget_bytes", 4 * KIB, 64 * GIB, 64 * MIB, "all rings together; a new worker past it is refused (Quota)"),
    int("telemetry.shard_bits", 0, 8, 8, "bits of a shard's label"),
    key("telemetry.worker_alias", A::Bool, Absent::Bool(true), "whether /worker/<id> exists beside the shard's path"),
    int("telemetry.worker_servers", 1, 256, 1, "processes that split the shards: a power of two, at most 2^shard_bits"),
    key("telemetry.cursor_retain", A::Bool, Absent::Bool(false), "cursors survive a restart"),
    key("telemetry.frame_schema", A::Word(&["text", "cbor"]), Absent::Text("text"), "what a record is: a line, or a telemetry-frame/v1"),
    int("telemetry.max_devices", 1, 100_000, 1024, "devices under /queen/telemetry; a new one past it is refused (Quota)"),
    int("telemetry.max_segments_per_device", 1, 65_536, 64, "segments of one device"),
    int("telemetry.max_bytes_per_segment", 4 * KIB, 16 * GIB, 64 * MIB, "bytes of one segment; a record past it is refused (Quota), and begins a new one if the writer asks for it"),
    int("telemetry.max_total_bytes_per_device", 4 * KIB, 1024 * GIB, 1024 * MIB, "bytes of all segments of one device"),
    key("telemetry.eviction", A::Word(&["refuse", "evict-oldest"]), Absent::Text("refuse"), "what a device without room does: refuse the write (Quota), or give up its oldest segment, counted and logged"),
    int("telemetry.max_refs", 1, 65_536, 65_536, "pieces of one artefact in its reference manifests"),
    int("telemetry.artefact_bytes", 4 * KIB, 1024 * GIB, 16 * GIB, "bytes of one artefact whose chunks are elsewhere; a larger one is not sealed (TooBig)"),
    int("telemetry.inline_bytes", 4 * KIB, 64 * MIB, MIB, "bytes of a file that cohpush sends in envelopes; a larger one goes by reference"),
    key("telemetry.mimes", A::Mimes, Absent::List(&["text/*", "application/json", "application/x-ndjson", "application/cbor", "application/octet-stream"]), "media types that a new segment may have; another is refused (Invalid)"),
    int("telemetry.pending", 1, 4096, 256, "commands of devices on their way to the journal at once"),
    int("telemetry.sync_ms", 1, 60_000, 1000, "time between two syncs of what was written; a Tfsync does it at once"),
    int("telemetry.watch_interval_ms", 250, 10_000, 1000, "time between two lines of /proc/ingest/watch"),

    int("trace.ring_bytes", 8 * KIB, 64 * MIB, 256 * KIB, "size of a ring of events, of which there is one for all and one for each server; allocated as it fills"),

    key("audit.key", A::Secret, Absent::None, "the secret key that signs checkpoints; absent in the dev profile: audit.key in the data directory, made on first start"),
    key("audit.keys.ID", A::PublicKey, Absent::None, "a public key that signed earlier checkpoints"),
    int("audit.segment_bytes", 64 * KIB, 256 * MIB, 4 * MIB, "size at which a file of the journal is closed and the next begun"),
    int("audit.journal_bytes", 256 * KIB, 512 * MIB, 64 * MIB, "what is retained; beyond it the oldest files go, once a snapshot stands for them"),
    int("audit.decisions_bytes", 4 * KIB, 256 * MIB, MIB, "size of the ring behind /audit/decisions"),
    key("audit.secrets", A::Targets, Absent::List(&[]), "paths whose commands are kept as their sha256 only; * is one component"),

    int("queen.ctl_line_bytes", 256, 7168, 2048, "longest command; it must fit a write, which holds ninep.msize - 23 bytes, and so must its record"),
    int("queen.ack_bytes", 256, 64 * KIB, 4 * KIB, "acknowledgements kept for who reads a ctl"),
    int("queen.max_workers", 1, 65_536, 256, "workers alive at once"),
    int("queen.revocations", 16, MIB, 65_536, "tickets revoked by command that are remembered, for good: at the bound more are refused (Quota); workers that end take none of it"),
    int("queen.dedupe_entries", 16, 65_536, 4096, "envelopes remembered, so that one that comes again has no second effect; the oldest goes first"),
    key("queen.require_envelope", A::Bool, Absent::Bool(false), "commands of /queen/ctl in envelopes only; the release profile requires them in any case"),
    int("queen.pending", 16, 65_536, 4096, "commands on their way to the journal at once"),

    int("lifecycle.boot_deadline_s", 1, 600, 10, "how long a boot may take before a missing server makes the hive DEGRADED"),
    key("lifecycle.online_when_ready", A::Bool, Absent::Bool(true), "BOOTING to ONLINE when every required server answers"),
    key("lifecycle.degraded_at_deadline", A::Bool, Absent::Bool(true), "BOOTING to DEGRADED when one is missing at lifecycle.boot_deadline_s"),
    key("lifecycle.degraded_when_lost", A::Bool, Absent::Bool(true), "ONLINE to DEGRADED when a required server is lost"),
    key("lifecycle.online_when_back", A::Bool, Absent::Bool(true), "DEGRADED to ONLINE when it is back"),

    int("lease.max_active", 1, 65_536, 1024, "leases at once"),
    int("lease.max_quotas", 1, 65_536, 1024, "subjects with a quota"),
    int("lease.preemptions", 1, 4096, 64, "preemptions that /proc/lease/preemptions shows"),
    int("lease.ttl_s", 1, YEAR_S, 3600, "life of a job's lease whose spec says none"),
    key("lease.resources[].id", A::File, Absent::Refused, "what can be leased, GPU-0"),
    key("lease.resources[].mem_mb", A::Int(0, MOST), Absent::Refused, "its memory, MiB"),
    key("lease.resources[].streams", A::Int(0, MOST), Absent::Refused, "its streams"),

    int("schedule.max_items", 1, 65_536, 1024, "jobs queued or running"),

    int("export.max_windows", 1, 4096, 64, "export windows open at once"),
    int("export.job_bytes", 4 * KIB, 64 * GIB, 256 * MIB, "payload of one export job, however much its window allows"),

    int("policy.ctl_line_bytes", 256, 7168, 7168, "longest command, bytes; no longer in any case than a write, which holds ninep.msize - 23 bytes"),
    int("policy.max_rules", 1, 1024, 256, "rules in one set"),
    int("policy.max_sets", 1, 64, 16, "sets of rules remembered, to be gone back to"),
    int("policy.max_actions", 16, 65_536, 1024, "approvals remembered, in whatever state"),
    int("policy.approval_ttl_s", 1, YEAR_S, 300, "life of an approval that says none"),
    int("policy.pending", 16, 65_536, 4096, "commands and questions on their way to the journal at once"),
    key("policy.rules[].id", A::Name, Absent::Refused, "a rule's name; the first rule that matches decides"),
    key("policy.rules[].target", A::Path, Absent::Refused, "which control files: a path, in which a component * stands for any one"),
    key("policy.rules[].decision", A::Word(&["gate", "deny", "allow"]), Absent::Refused, "gate: a write needs an approval; deny: it is refused; allow: it passes"),

    key("workers.programs.KIND", A::File, Absent::None, "the program of a kind of worker, found beside init's own"),
    key("workers.run", A::Word(&["process", "pool"]), Absent::Text("process"), "pool: one process runs all workers of a program, started with --pool, which worker-heart takes; for hives of thousands"),
    int("workers.ticks", 0, MOST, 0, "ticks until a worker is done, where the spawn does not say; 0: until it is killed or its time is up"),
    int("workers.period_ms", 10, 3_600_000, 1000, "time between ticks, where the spawn does not say"),
    int("workers.ttl_s", 1, YEAR_S, 86_400, "life of a worker and of its ticket, where the spawn does not say"),
    int("workers.ops", 0, MOST, 0, "requests that a worker may make, where the spawn does not say; 0: unlimited"),

    int("restart.backoff_ms", 10, 60_000, 100, "wait before a server that died is started again; doubled at each death"),
    int("restart.backoff_max_ms", 10, 600_000, 10_000, "longest such wait"),
    int("restart.deaths", 1, 1000, 5, "so many deaths within restart.window_s make the hive DEGRADED"),
    int("restart.window_s", 1, 3600, 60, "see restart.deaths"),

    key("console.tcp", A::Addr, Absent::None, "where the TCP console listens, HOST!PORT; absent: nowhere"),
    key("console.auth", A::Secret, Absent::None, "what AUTH must say at the TCP console; absent in the dev profile: console.token in the data directory, made on first start"),
    int("console.connections", 1, 4096, 256, "consoles open at once"),

    key("network.mode", A::Word(&["off", "static", "dhcp"]), Absent::Text("off"), "where an image's address comes from; off: it has no network; a hosted hive has its machine's"),
    key("network.nic", A::Word(&["virtio-net", "rtl8139"]), Absent::Text("virtio-net"), "the image's network card"),
    key("network.address", A::Path, Absent::None, "static: its address with the bits of the network's part, 10.0.2.15/24"),
    key("network.gateway", A::Path, Absent::None, "static: the way to other networks, 10.0.2.2; absent: none"),
    int("network.sessions", 1, 240, 200, "TCP connections at once; one more is reset"),
    int("network.half_open", 16, 256, 32, "TCP connections at once that the client has not confirmed, and sockets that wait for one"),
    int("network.half_open_s", 1, 60, 5, "how long a client may take to confirm"),
    int("network.receive_bytes", 1024, 65_535, 4096, "bytes held of what a client sent, for each connection"),
    int("network.send_bytes", 1024, 65_535, 8192, "bytes held of what a client has yet to receive, for each connection"),
    key("network.memory_kib", A::Int(KIB, 16 * MIB), Absent::Int(16 * KIB), "what its process may take, KiB"),
    key("network.affinity", A::Cores, Absent::List(&[]), "the cores that its process may run on; none: any"),

    int("client.pool_control", 1, 64, 2, "pooled sessions for control"),
    int("client.pool_telemetry", 1, 64, 4, "pooled sessions for telemetry"),
    int("client.retry_attempts", 1, 10, 3, "attempts at a request that is safe to repeat"),
    int("client.retry_backoff_ms", 10, 60_000, 200, "wait before the second attempt; doubled each time"),
    int("client.retry_backoff_max_ms", 10, 600_000, 2000, "longest such wait"),
    int("client.heartbeat_s", 1, 3600, 15, "silence after which a client asks whether the door is there"),
    int("client.tail_poll_ms", 250, 10_000, 1000, "how often a following reader looks for more"),
    int("client.deadline_ms", 100, 600_000, 10_000, "deadline of one request"),
    int("client.trace_max_bytes", 64 * KIB, GIB, MIB, "bound of a recorded trace"),
];

/// The key with that path; a concrete path finds its pattern (`servers.door.count`,
/// `listeners[2].addr` and `listeners.addr` alike).
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| {
        let (mut pattern, mut given) = (key.path.split('.'), path.split('.'));
        loop {
            match (pattern.next(), given.next()) {
                (None, None) => return true,
                (Some(pattern), Some(given)) if is_wildcard(pattern) || plain(pattern) == plain(given) => {}
                _ => return false,
            }
        }
    })
}

fn plain(component: &str) -> &str {
    component.split('[').next().unwrap_or_default()
}

/// Whether a component of a pattern stands for any name.
pub(crate) fn is_wildcard(component: &str) -> bool {
    component.starts_with(|c: char| c.is_ascii_uppercase())
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            A::Int(min, max) if min == max => write!(f, "{min}"),
            A::Int(min, max) => write!(f, "{min}..{max}"),
            A::PowerOfTwo(min, max) => write!(f, "a power of two in {min}..{max}"),
            A::Bool => f.write_str("true or false"),
            A::Word(words) => f.write_str(&words.join(", ")),
            A::Name => f.write_str("1..64 of a-z 0-9 -"),
            A::File => f.write_str("a file's name"),
            A::Files => f.write_str("a list of files' names"),
            A::Path => f.write_str("a path"),
            A::Mimes => f.write_str("a list of media types in lower case, text/* for all of a kind"),
            A::Targets => f.write_str("a list of absolute paths, * for one component"),
            A::Secret => f.write_str("file:PATH or env:NAME"),
            A::FileReference => f.write_str("file:PATH"),
            A::PublicKey => f.write_str("64 hex digits"),
            A::Cores => f.write_str("a list of cores, each 0..255"),
            A::Addr => f.write_str("HOST!PORT or a socket's path"),
        }
    }
}

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Absent::Refused => f.write_str("must be given"),
            Absent::None => f.write_str("none"),
            Absent::Int(value) => write!(f, "{value}"),
            Absent::Bool(value) => write!(f, "{value}"),
            Absent::Text(text) => write!(f, "{text:?}"),
            Absent::List(list) => write!(f, "{list:?}"),
            Absent::ByServer => f.write_str("by server"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_concrete_path_finds_its_key() {
        for (path, key) in [
            ("ninep.msize", "ninep.msize"),
            ("servers.door.count", "servers.NAME.count"),
            ("listeners[2].addr", "listeners[].addr"),
            ("listeners.addr", "listeners[].addr"),
            ("tickets.keys.k1", "tickets.keys.ID"),
        ] {
            assert_eq!(find(path).map(|found| found.path), Some(key));
        }
        assert!(find("ninep").is_none() && find("ninep.msize.x").is_none());
    }

    #[test]
    fn defaults_are_allowed_values() {
        for key in KEYS {
            match (key.allowed, key.absent) {
                (A::Int(min, max), Absent::Int(value)) => {
                    assert!((min..=max).contains(&value), "{}", key.path)
                }
                (A::PowerOfTwo(min, max), Absent::Int(value)) => {
                    assert!((min..=max).contains(&value) && value.count_ones() == 1, "{}", key.path);
                }
                (A::Word(words), Absent::Text(word)) => assert!(words.contains(&word), "{}", key.path),
                _ => {}
            }
        }
    }
}
