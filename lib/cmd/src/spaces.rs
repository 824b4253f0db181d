//! Which server a path belongs to, from the session's own name space in bind/ form (spec 2.1).

/// One `mount` line of a name space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// The server.
    pub server: String,
    /// Where its tree appears.
    pub at: String,
    /// Which root or path of the server; empty for its main tree.
    pub spec: String,
    /// Mounted with `-r`.
    pub is_read_only: bool,
}

/// The lines of `/proc/9p/self/ns` that mount something, and binds as the mounts that they repeat.
pub fn mounts(ns: &str) -> Vec<Mounted> {
    let mut found: Vec<Mounted> = Vec::new();
    for line in ns.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (is_read_only, words) = match words.as_slice() {
            [verb, "-r", rest @ ..] => (true, [&[*verb], rest].concat()),
            _ => (false, words),
        };
        let root = |path: &str| format!("/{}", path.trim_matches('/'));
        match words.as_slice() {
            ["mount", server, at, spec @ ..] => found.push(Mounted {
                server: (*server).to_owned(),
                at: root(at),
                spec: spec.concat(),
                is_read_only,
            }),
            ["bind", new, old] => {
                let new = root(new);
                if let Some(source) = server_at(&found, &new).cloned() {
                    let below = new.strip_prefix(source.at.trim_end_matches('/')).unwrap_or("");
                    let spec = format!("{}{below}", source.spec).trim_matches('/').to_owned();
                    let is_read_only = is_read_only || source.is_read_only;
                    found.push(Mounted { server: source.server, at: root(old), spec, is_read_only });
                }
            }
            _ => {}
        }
    }
    found
}

/// The mount that `path` is in: the longest prefix, the later one of two alike.
pub fn server_at<'m>(mounts: &'m [Mounted], path: &str) -> Option<&'m Mounted> {
    let covers = |at: &str| {
        at == "/" || path.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    mounts.iter().filter(|m| covers(&m.at)).max_by_key(|m| m.at.trim_end_matches('/').len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: &str = "mount -r proc /proc/boot boot\nmount queen /queen\nmount log /log\n\
                      mount -r queen /proc/lifecycle lifecycle\nbind /queen /q\n# a comment\n";

    #[test]
    fn the_longest_prefix_on_whole_names_wins() {
        let mounts = mounts(NS);
        assert_eq!(server_at(&mounts, "/proc/boot").unwrap().server, "proc");
        assert!(server_at(&mounts, "/proc/boot").unwrap().is_read_only);
        assert_eq!(server_at(&mounts, "/proc/lifecycle/state").unwrap().spec, "lifecycle");
        assert_eq!(server_at(&mounts, "/log/queen.log").unwrap().server, "log");
        assert_eq!(server_at(&mounts, "/queens"), None);
        assert_eq!(server_at(&mounts, "/proc"), None);
    }

    #[test]
    fn a_bind_belongs_to_the_server_it_repeats() {
        let mounts = mounts(NS);
        assert_eq!(server_at(&mounts, "/q/ctl").unwrap().server, "queen");
    }
}
