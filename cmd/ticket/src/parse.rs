//! The words of the command line.

use ticket::{Scope, Verbs};

/// `PATH:VERBS[:RATE]`; a path may hold colons, the verbs and the rate are what is last.
pub(crate) fn scope(text: &str) -> Result<Scope, String> {
    let wrong = || format!("{text}: not a scope; /path:r, /path:w or /path:rw, and :RATE, is wanted");
    let (rest, last) = text.rsplit_once(':').ok_or_else(wrong)?;
    let (path, verbs, rate) = match (last.parse::<u32>(), rest.rsplit_once(':')) {
        (Ok(rate), Some((path, verbs))) if rate > 0 => (path, verbs, rate),
        _ => (rest, last, 0),
    };
    let verbs: Verbs = verbs.parse().map_err(|_| wrong())?;
    if !path.starts_with('/') {
        return Err(wrong());
    }
    Ok(Scope { path: path.into(), verbs, rate_per_s: rate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_have_verbs_and_may_have_a_rate() {
        let parsed = scope("/queen/ctl:rw:10").unwrap();
        assert_eq!((parsed.path.as_str(), parsed.verbs, parsed.rate_per_s), ("/queen/ctl", Verbs::Both, 10));
        assert_eq!(scope("/a:b:r").unwrap().path, "/a:b");
        for wrong in ["", "/proc", "/proc:x", "proc:r", "/proc:r:0", "/proc:r:-1", ":r"] {
            assert!(scope(wrong).is_err(), "{wrong}");
        }
    }
}
