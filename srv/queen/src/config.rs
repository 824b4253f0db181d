//! What the queen's manifest says.

use authority::{Kind, lease, lifecycle};
use ninep::srv::Journal;
use std::collections::HashMap;

/// What the queen's manifest says.
pub struct Config {
    /// Bounds and defaults of the fold.
    pub authority: authority::Config,
    /// Whom her commands pass.
    pub journal: Journal,
    /// Longest command.
    pub ctl_line_bytes: usize,
    /// Where workers dial, `unix!RUN/door`.
    pub door: String,
    /// Worker kinds and their programs.
    pub programs: HashMap<String, String>,
    /// Servers that the hive cannot be ONLINE without, herself not among them.
    pub required: Vec<String>,
}

impl Config {
    /// From the manifest in force.
    pub fn from_boot(boot: &rt::Boot) -> Config {
        let manifest = &boot.manifest;
        let has = |name: &'static str| manifest.server(name).map(|_| name);
        let journal =
            Journal { audit: has("audit"), policy: has("policy"), pending: manifest.queen.pending as usize };
        let required = manifest.servers.iter().filter(|server| server.required && server.name != "queen");
        Config {
            authority: fold(manifest, journal.audit.is_some()),
            journal,
            ctl_line_bytes: manifest.queen.ctl_line_bytes as usize,
            door: format!("unix!{}", boot.run.join("door").display()),
            programs: manifest.workers.programs.clone().into_iter().collect(),
            required: required.map(|server| server.name.clone()).collect(),
        }
    }
}

/// The bounds and defaults of the fold. Without a journal the queen's memory ends with her process: her
/// worker's tickets are told from those of an earlier life by its beginning.
fn fold(manifest: &manifest::Manifest, has_journal: bool) -> authority::Config {
    let manifest::Manifest { hive, queen, workers, lease, .. } = manifest;
    let automatic = &manifest.lifecycle;
    let life = if has_journal { String::new() } else { format!(" {}", rt::now().wall_ms) };
    authority::Config {
        hive: hive.name.clone() + &life,
        max_workers: queen.max_workers as usize,
        max_revoked: queen.revocations as usize,
        ticks: workers.ticks,
        period_ms: workers.period_ms,
        ttl_s: workers.ttl_s,
        ops: workers.ops,
        kinds: Kind::ALL.into_iter().filter(|kind| workers.programs.contains_key(kind.word())).collect(),
        dedupe_entries: queen.dedupe_entries as usize,
        needs_envelope: queen.require_envelope || manifest.profile == manifest::Profile::Release,
        automatic: lifecycle::Automatic {
            online_when_ready: automatic.online_when_ready,
            degraded_at_deadline: automatic.degraded_at_deadline,
            degraded_when_lost: automatic.degraded_when_lost,
            online_when_back: automatic.online_when_back,
            boot_deadline_ms: automatic.boot_deadline_s.saturating_mul(1000),
        },
        lease: lease::Config {
            resources: lease.resources.iter().map(resource).collect(),
            max_active: lease.max_active as usize,
            max_quotas: lease.max_quotas as usize,
            preemptions: lease.preemptions as usize,
            ttl_s: lease.ttl_s,
        },
        max_jobs: manifest.schedule.max_items as usize,
        max_windows: manifest.export.max_windows as usize,
    }
}

fn resource(declared: &manifest::Resource) -> lease::Resource {
    let manifest::Resource { id, mem_mb, streams } = declared.clone();
    lease::Resource { id, mem_mb, streams }
}
