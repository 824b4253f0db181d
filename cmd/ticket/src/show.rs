//! What a ticket claims, for people and for programs. Its proof is not among it.

use cohcmd::now_ms;
use cohcmd::serde_json::{Value, json};
use cohcmd::{Out, Trouble};
use ticket::{Grant, Token};

pub(crate) fn show(token: &Token, as_json: bool, out: &mut Out) -> Result<(), Trouble> {
    let grant = token.claims_unverified().map_err(|error| Trouble::failed(error.to_string()))?;
    let is_sealed = token.is_sealed();
    if as_json {
        return out.json(&value(&grant, is_sealed));
    }
    let Grant { id, hive, key, role, subject, issued_ms, expires_ms, budget, scopes, quota, .. } = &grant;
    out.line(format!("id       {id}"))?;
    out.line(format!("hive     {hive}"))?;
    out.line(format!("role     {}", role.as_str()))?;
    if !subject.is_empty() {
        out.line(format!("subject  {subject}"))?;
    }
    out.line(format!("key      {key}"))?;
    out.line(format!("issued   {issued_ms} ms"))?;
    let left = match expires_ms.checked_sub(now_ms()) {
        Some(left) if left > 0 => format!("{} s left", left / 1000),
        _ => "expired".into(),
    };
    out.line(format!("expires  {expires_ms} ms, {left}"))?;
    for scope in scopes {
        let rate = if scope.rate_per_s > 0 { format!(" {}/s", scope.rate_per_s) } else { String::new() };
        out.line(format!("scope    {} {}{rate}", scope.path, scope.verbs.as_str()))?;
    }
    let limits = [
        ("ticks", budget.ticks),
        ("ops", budget.ops),
        ("ttl_s", budget.ttl_s),
        ("bandwidth_bytes", quota.bandwidth_bytes),
        ("cursor_resumes", quota.cursor_resumes),
        ("cursor_advances", quota.cursor_advances),
    ];
    for (name, limit) in limits {
        if let Some(limit) = limit {
            out.line(format!("limit    {name}={limit}"))?;
        }
    }
    out.line(format!("form     {}", if is_sealed { "sealed" } else { "open: can be narrowed" }))
}

fn value(grant: &Grant, is_sealed: bool) -> Value {
    let scopes: Vec<Value> = grant
        .scopes
        .iter()
        .map(|s| json!({"path": s.path, "verbs": s.verbs.as_str(), "rate_per_s": s.rate_per_s}))
        .collect();
    json!({
        "id": grant.id,
        "hive": grant.hive,
        "role": grant.role.as_str(),
        "subject": grant.subject,
        "key": grant.key,
        "issued_ms": grant.issued_ms,
        "expires_ms": grant.expires_ms,
        "scopes": scopes,
        "budget": {"ticks": grant.budget.ticks, "ops": grant.budget.ops, "ttl_s": grant.budget.ttl_s},
        "quota": {
            "bandwidth_bytes": grant.quota.bandwidth_bytes,
            "cursor_resumes": grant.quota.cursor_resumes,
            "cursor_advances": grant.quota.cursor_advances,
        },
        "sealed": is_sealed,
    })
}
