//! What the manifest says of policy.

use crate::Config;
use crate::rule::{Decision, Rule};
use manifest::Manifest;

impl From<&Manifest> for Config {
    fn from(manifest: &Manifest) -> Config {
        let policy = &manifest.policy;
        Config {
            rules: policy.rules.iter().map(rule).collect(),
            max_rules: policy.max_rules as usize,
            max_sets: policy.max_sets as usize,
            max_actions: policy.max_actions as usize,
            approval_ttl_s: policy.approval_ttl_s,
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
