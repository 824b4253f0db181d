//! The manifest's shape. Every field is resolved: there are no defaults here, the compiler's
//! key table has them (one place), and a missing or unknown field is refused.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{Listener, Network};

/// Everything that is configurable about one hive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this shape: [`crate::SCHEMA`].
    pub schema: u32,
    /// How strict the compiler was.
    pub profile: Profile,
    /// What the hive runs on.
    pub target: Target,
    /// The hive as a whole.
    pub hive: Hive,
    /// The enabled servers, in the order in which init starts them.
    pub servers: Vec<Server>,
    /// Role to the name of its file in bind/.
    pub roles: BTreeMap<String, String>,
    /// Role to its name space: includes expanded, servers that are not enabled left out,
    /// `$subject` and `$shard` not yet expanded.
    pub namespaces: BTreeMap<String, String>,
    /// Where doors listen, `RUN/door` first.
    pub listeners: Vec<Listener>,
    /// Limits of the protocol.
    pub ninep: Ninep,
    /// Keys and bounds of tickets.
    pub tickets: Tickets,
    /// `/log`.
    pub log: Log,
    /// `/worker` and `/shard`.
    pub telemetry: Telemetry,
    /// `/audit` and `/replay`.
    pub audit: Audit,
    /// Trace rings.
    pub trace: Trace,
    /// `/queen`.
    pub queen: Queen,
    /// Which transitions of the lifecycle happen by themselves.
    pub lifecycle: Lifecycle,
    /// What can be leased, and bounds of leases.
    pub lease: Lease,
    /// Bounds of the queue of jobs.
    pub schedule: Schedule,
    /// Bounds of export windows.
    pub export: Export,
    /// Rules and approvals.
    pub policy: Policy,
    /// Worker programs and what a spawn gives when the command does not say.
    pub workers: Workers,
    /// How init restarts what died.
    pub restart: Restart,
    /// The line consoles.
    pub console: Console,
    /// The network of an image.
    pub network: Network,
    /// What commands do (spec 10.5).
    pub client: Client,
}

/// How strict the compiler is: `release` refuses what is only fit for a bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Keys may be made on first start.
    Dev,
    /// Keys are named, secrets are by reference, the audit is on.
    Release,
}

/// What the hive runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Linux processes.
    #[serde(rename = "hosted")]
    Hosted,
    /// seL4 on QEMU's `virt`.
    #[serde(rename = "qemu-virt")]
    QemuVirt,
    /// seL4 on a Raspberry Pi 4 under U-Boot.
    #[serde(rename = "pi4-uboot")]
    Pi4Uboot,
    /// seL4 on EC2 Arm machines.
    #[serde(rename = "aws-arm64")]
    AwsArm64,
}

/// The hive as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hive {
    /// Its name, the audience of its tickets: 1..64 of `[a-z0-9-]`.
    pub name: String,
    /// What all servers may take together, KiB.
    pub memory_kib: u64,
}

/// One enabled server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// `door`, `proc`, `log`, …; also the name of its socket under `RUN/srv`.
    pub name: String,
    /// The program that init starts, found beside init's own.
    pub program: String,
    /// Losing it makes the hive DEGRADED.
    pub required: bool,
    /// What each process of it may take, KiB.
    pub memory_kib: u64,
    /// What it keeps over all its processes where there is no disk, KiB.
    pub keep_kib: u64,
    /// Cores it may run on; empty: any.
    pub affinity: Vec<u32>,
    /// How many processes share the work.
    pub count: u32,
}

impl Server {
    /// Its processes, as `coh status` and their sockets name them: `door`, `door.1`, `door.2`.
    pub fn processes(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.count).map(|index| process_name(&self.name, index))
    }
}

/// The name of one process of a server that may have several; the first has the server's own. No worker's
/// id has a dot: `worker.1` is a server, `worker-1` a worker.
pub fn process_name(server: &str, index: u32) -> String {
    if index == 0 { server.into() } else { format!("{server}.{index}") }
}

/// Limits of the protocol (spec 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ninep {
    /// Largest frame, bytes, 256..8192.
    pub msize: u32,
    /// Requests in flight in one session.
    pub tags_per_session: u32,
    /// Live fids in one session.
    pub fids_per_session: u32,
    /// Sessions at one door.
    pub sessions: u32,
    /// Replies queued to a slow client, bytes.
    pub queue_bytes: u64,
    /// Requests queued to one server by a door, bytes.
    pub channel_queue_bytes: u64,
    /// A session silent for this long is closed; 0: never.
    pub idle_s: u32,
    /// A connection that has not attached by then is closed.
    pub handshake_s: u32,
    /// Frames of one session handled before the next one's turn.
    pub batch_frames: u32,
}

/// Keys and bounds of tickets (spec 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tickets {
    /// The secret key by reference, `file:PATH` or `env:NAME`; `None`: `DATA/issuer.key`, which
    /// init makes in the dev profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Public keys that are accepted: key id to 64 hex digits.
    pub keys: BTreeMap<String, String>,
    /// Scopes in one ticket.
    pub max_scopes: u32,
    /// Length of a scope's path, bytes.
    pub max_scope_path: u32,
    /// Largest rate of a scope, requests per second; 0: unlimited.
    pub max_rate_per_s: u32,
    /// Bytes a ticket may move; 0: unlimited.
    pub bandwidth_bytes: u64,
    /// Cursor resumptions; 0: unlimited.
    pub cursor_resumes: u32,
    /// Cursor advances; 0: unlimited.
    pub cursor_advances: u32,
}

/// `/log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Names of the streams; `queen.log` is always one.
    pub streams: Vec<String>,
    /// Size of each stream's ring, bytes, a power of two.
    pub ring_bytes: u64,
}

/// `/worker` and `/shard` (spec 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Size of a worker's ring, bytes, a power of two; allocated as it fills.
    pub ring_bytes: u64,
    /// Largest record, bytes.
    pub record_bytes: u32,
    /// All rings together, bytes.
    pub budget_bytes: u64,
    /// Bits of a shard label, 0..8.
    pub shard_bits: u8,
    /// Whether `/worker/<id>` exists beside the shard path.
    pub worker_alias: bool,
    /// Processes that split the shards.
    pub worker_servers: u32,
    /// Cursors survive a restart.
    pub cursor_retain: bool,
    /// What a record is.
    pub frame_schema: FrameSchema,
    /// Devices at once.
    pub max_devices: u32,
    /// Segments of one device.
    pub max_segments_per_device: u32,
    /// Bytes of one segment.
    pub max_bytes_per_segment: u64,
    /// Bytes of all segments of one device.
    pub max_total_bytes_per_device: u64,
    /// What happens when a device's segments have no room.
    pub eviction: Eviction,
    /// Pieces of one artefact in reference manifests.
    pub max_refs: u32,
    /// Bytes of one artefact.
    pub artefact_bytes: u64,
    /// Bytes of a file that is sent in envelopes; a larger one goes by reference.
    pub inline_bytes: u64,
    /// Media types of segments; `text/*` is all of them.
    pub mimes: Vec<String>,
    /// Commands of devices on their way to the journal at once.
    pub pending: u32,
    /// Time between two syncs of what was written, milliseconds.
    pub sync_ms: u64,
    /// Time between two lines of `/proc/ingest/watch`, milliseconds.
    pub watch_interval_ms: u64,
}

/// What happens when a device's segments have no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eviction {
    /// The write is refused (Quota).
    Refuse,
    /// The oldest segment goes.
    EvictOldest,
}

/// What a telemetry record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameSchema {
    /// A line.
    Text,
    /// A `telemetry-frame/v1`.
    Cbor,
}

/// `/trace` and `/kmesg`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// Size of one ring of events, bytes.
    pub ring_bytes: u64,
}

/// `/audit` and `/replay` (spec 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// The secret key that signs checkpoints, by reference, `file:PATH` or `env:NAME`; `None`:
    /// `DATA/audit.key`, which init makes in the dev profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Public keys that signed earlier checkpoints: key id to 64 hex digits.
    pub keys: BTreeMap<String, String>,
    /// Size of a segment, bytes.
    pub segment_bytes: u64,
    /// What is retained, bytes.
    pub journal_bytes: u64,
    /// Size of the ring of decisions, bytes.
    pub decisions_bytes: u64,
    /// Paths whose commands are kept as their sha256; `*` is one component.
    pub secrets: Vec<String>,
}

/// The line consoles (spec 10.1); there is one at `RUN/console` where the server is enabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Console {
    /// `HOST!PORT` of the TCP console; `None`: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// What AUTH must say there, by reference; `None`: `DATA/console.token`, which init makes in the dev
    /// profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// Connections at once.
    pub connections: u32,
}

/// `/queen`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queen {
    /// Longest command, bytes.
    pub ctl_line_bytes: u32,
    /// Acknowledgements kept for a reader of a ctl, bytes.
    pub ack_bytes: u32,
    /// Workers alive at once.
    pub max_workers: u32,
    /// Ids of tickets revoked by command that are remembered.
    pub revocations: u32,
    /// Envelopes remembered, so that one that comes again has no second effect.
    pub dedupe_entries: u32,
    /// Commands in envelopes only, in the dev profile too.
    pub require_envelope: bool,
    /// Commands on their way to the journal at once.
    pub pending: u32,
}

/// Which transitions of the lifecycle happen by themselves (spec 4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifecycle {
    /// How long a boot may take.
    pub boot_deadline_s: u64,
    /// BOOTING to ONLINE when every required server answers.
    pub online_when_ready: bool,
    /// BOOTING to DEGRADED when one is missing at the deadline.
    pub degraded_at_deadline: bool,
    /// ONLINE to DEGRADED when a required server is lost.
    pub degraded_when_lost: bool,
    /// DEGRADED to ONLINE when it is back.
    pub online_when_back: bool,
}

/// What can be leased, and bounds of leases (spec 4.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Leases at once.
    pub max_active: u32,
    /// Subjects with a quota.
    pub max_quotas: u32,
    /// Preemptions remembered.
    pub preemptions: u32,
    /// Life of a job's lease whose spec says none.
    pub ttl_s: u64,
    /// What there is.
    pub resources: Vec<Resource>,
}

/// What can be leased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// `GPU-0`.
    pub id: String,
    /// Its memory.
    pub mem_mb: u64,
    /// Its streams.
    pub streams: u64,
}

/// Bounds of the queue of jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Jobs queued or running.
    pub max_items: u32,
}

/// Bounds of export windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// Windows open at once.
    pub max_windows: u32,
    /// Payload of one job, bytes.
    pub job_bytes: u64,
}

/// Rules and approvals (spec 4.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Longest command, bytes.
    pub ctl_line_bytes: u32,
    /// Rules in one set.
    pub max_rules: u32,
    /// Sets remembered, to be gone back to.
    pub max_sets: u32,
    /// Approvals remembered, in whatever state.
    pub max_actions: u32,
    /// Life of an approval that says none.
    pub approval_ttl_s: u64,
    /// Commands and questions on their way to the journal at once.
    pub pending: u32,
    /// The set that is in force until another is applied; the first rule that matches decides.
    pub rules: Vec<PolicyRule>,
}

/// What happens to control writes of some files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRule {
    /// Its name.
    pub id: String,
    /// Which files: a path, in which a component `*` stands for any one.
    pub target: String,
    /// What happens.
    pub decision: Decision,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// An approval is needed.
    Gate,
    /// It is refused.
    Deny,
    /// It passes.
    Allow,
}

/// Worker programs and what a spawn gives when the command does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    /// Kind (`heartbeat`, `gpu`, …) to program.
    pub programs: BTreeMap<String, String>,
    /// How many of them a process runs.
    pub run: WorkersRun,
    /// Ticks until a worker is done; 0: until it is killed or its time is up.
    pub ticks: u64,
    /// Time between ticks.
    pub period_ms: u64,
    /// Life of a worker and of its ticket.
    pub ttl_s: u64,
    /// Requests a worker may make; 0: unlimited.
    pub ops: u64,
}

/// How many workers a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkersRun {
    /// One.
    Process,
    /// All of one program.
    Pool,
}

/// How init restarts what died (spec 13.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// First wait; doubled at each death.
    pub backoff_ms: u64,
    /// Longest wait.
    pub backoff_max_ms: u64,
    /// This many deaths …
    pub deaths: u32,
    /// … within this time make the hive DEGRADED.
    pub window_s: u32,
}

/// What commands do (spec 10.5); `client.toml` says the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Pooled sessions for control.
    pub pool_control: u32,
    /// Pooled sessions for telemetry.
    pub pool_telemetry: u32,
    /// Attempts at a request that is safe to repeat.
    pub retry_attempts: u32,
    /// First wait between attempts; doubled each time.
    pub retry_backoff_ms: u64,
    /// Longest wait between attempts.
    pub retry_backoff_max_ms: u64,
    /// Silence after which a client asks whether the door is there.
    pub heartbeat_s: u32,
    /// How often a following reader looks for more.
    pub tail_poll_ms: u64,
    /// Deadline of one request.
    pub deadline_ms: u64,
    /// Bound of a recorded trace, bytes.
    pub trace_max_bytes: u64,
}

impl Manifest {
    /// The enabled server of that name.
    pub fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// The name space of a role, `$subject` and `$shard` not yet expanded.
    pub fn namespace(&self, role: &str) -> Option<&str> {
        self.namespaces.get(role).map(String::as_str)
    }
}
