//! What policy's manifest says.

use manifest::Manifest;
use ninep::srv::Journal;
use policy::{Decision, Rule};

/// Bytes of a write that are not data.
const WRITE_OVERHEAD: u32 = 23;

/// What policy's manifest says.
pub struct Config {
    /// The fold's part.
    pub policy: policy::Config,
    /// Whom commands pass: rules hold for policy's own files too.
    pub journal: Journal,
    /// Longest command.
    pub ctl_line_bytes: usize,
}

impl Config {
    /// From the manifest in force.
    pub fn from_manifest(manifest: &Manifest) -> Config {
        let policy = &manifest.policy;
        let has = |name: &'static str| manifest.server(name).map(|_| name);
        let room = manifest.ninep.msize.saturating_sub(WRITE_OVERHEAD);
        Config {
            policy: policy::Config {
                rules: policy.rules.iter().map(rule).collect(),
                max_rules: policy.max_rules as usize,
                max_sets: policy.max_sets as usize,
                max_actions: policy.max_actions as usize,
                approval_ttl_s: policy.approval_ttl_s,
            },
            journal: Journal { audit: has("audit"), policy: has("policy"), pending: policy.pending as usize },
            ctl_line_bytes: policy.ctl_line_bytes.min(room) as usize,
        }
    }
}

fn rule(declared: &manifest::PolicyRule) -> Rule {
    let decision = match declared.decision {
        manifest::Decision::Gate => Decision::Gate,
        manifest::Decision::Deny => Decision::Deny,
        manifest::Decision::Allow => Decision::Allow,
    };
    Rule { id: declared.id.clone(), target: declared.target.clone(), decision }
}
