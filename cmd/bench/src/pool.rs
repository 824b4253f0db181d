//! Pooled sessions against a single one: the same reads, as many in flight in all, on one session and on
//! as many as the hive's client policy has in each of its pools.

use crate::conns::{Work, conns};
use crate::session::Target;
use cohcmd::{Policy, Trouble};
use ninep::dial::{Addr, DialError};
use serde::Serialize;
use std::time::Duration;

/// One pool's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Pool {
    mode: &'static str,
    pool: &'static str,
    sessions: usize,
    in_flight: usize,
    single_per_s: f64,
    pooled_per_s: f64,
    ratio: f64,
}

impl Pool {
    /// `pool control sessions=2 in_flight=32 single_per_s=377000 pooled_per_s=402000 ratio=1.07`.
    pub(crate) fn text(&self) -> String {
        let Pool { mode, pool, sessions, in_flight, single_per_s, pooled_per_s, ratio } = self;
        format!(
            "{mode} {pool} sessions={sessions} in_flight={in_flight} single_per_s={single_per_s:.0} \
             pooled_per_s={pooled_per_s:.0} ratio={ratio:.2}"
        )
    }
}

/// What each pool is, and how many sessions it has: of the policy, or `sessions` each.
fn pools(target: &Target, sessions: Option<usize>) -> Result<[(&'static str, usize); 2], Trouble> {
    let addr: Addr = target.addr.parse().map_err(|e: DialError| Trouble::Usage(e.to_string()))?;
    let client = Policy::at(&addr)?.client;
    let of = |policy: u32| sessions.unwrap_or(policy as usize);
    Ok([("control", of(client.pool_control)), ("telemetry", of(client.pool_telemetry))])
}

/// Measures both pools: `window` reads of `path` in flight in all, each for `time` on one session and for
/// `time` on the pool.
pub(crate) fn pool(
    target: &Target,
    path: &str,
    sessions: Option<usize>,
    window: u16,
    time: Duration,
) -> Result<Vec<Pool>, Trouble> {
    let mut figures = Vec::new();
    for (name, sessions) in pools(target, sessions)? {
        if !(1..=usize::from(window)).contains(&sessions) {
            return Err(Trouble::Usage(format!(
                "pool: {sessions} sessions for {window} requests in flight; at least one for each is wanted"
            )));
        }
        let each = usize::from(window) / sessions;
        let in_flight = each * sessions;
        let per_s = |sessions: usize, window: usize| -> Result<f64, Trouble> {
            let window = u16::try_from(window).unwrap_or(u16::MAX);
            let done = conns(target, path, &Work::Reads, sessions, window, time, None)?.done;
            Ok(done.count as f64 / done.seconds)
        };
        let (single_per_s, pooled_per_s) = (per_s(1, in_flight)?, per_s(sessions, each)?);
        let ratio = if single_per_s > 0.0 { pooled_per_s / single_per_s } else { 0.0 };
        figures.push(Pool {
            mode: "pool",
            pool: name,
            sessions,
            in_flight,
            single_per_s,
            pooled_per_s,
            ratio,
        });
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_s_line_names_what_was_compared() {
        let figure = Pool {
            mode: "pool",
            pool: "telemetry",
            sessions: 4,
            in_flight: 32,
            single_per_s: 1000.4,
            pooled_per_s: 1500.0,
            ratio: 1.4994,
        };
        let text = "pool telemetry sessions=4 in_flight=32 single_per_s=1000 pooled_per_s=1500 ratio=1.50";
        assert_eq!(figure.text(), text);
    }
}
