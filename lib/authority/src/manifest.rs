//! What the manifest says of the authority.

use crate::ctl::Kind;
use crate::{Config, lease, lifecycle};
use manifest::{Manifest, Profile};

impl From<&Manifest> for Config {
    fn from(manifest: &Manifest) -> Config {
        let Manifest { hive, queen, workers, lease, lifecycle: automatic, telemetry, .. } = manifest;
        Config {
            hive: hive.name.clone(),
            max_workers: queen.max_workers as usize,
            max_rings: (telemetry.budget_bytes / telemetry.ring_bytes.max(1)) as usize,
            max_revoked: queen.revocations as usize,
            ticks: workers.ticks,
            period_ms: workers.period_ms,
            ttl_s: workers.ttl_s,
            ops: workers.ops,
            kinds: Kind::ALL.into_iter().filter(|kind| workers.programs.contains_key(kind.word())).collect(),
            dedupe_entries: queen.dedupe_entries as usize,
            needs_envelope: queen.require_envelope || manifest.profile == Profile::Release,
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
}

fn resource(declared: &manifest::Resource) -> lease::Resource {
    let manifest::Resource { id, mem_mb, streams } = declared.clone();
    lease::Resource { id, mem_mb, streams }
}
