//! The kernel's numbers for paths: one number a path for as long as the kernel remembers it.

use std::collections::HashMap;

/// The root's number.
const ROOT: u64 = 1;

struct Node {
    path: String,
    lookups: u64,
}

/// Numbers and paths.
pub(crate) struct Nodes {
    by_number: HashMap<u64, Node>,
    by_path: HashMap<String, u64>,
    next: u64,
}

impl Nodes {
    pub(crate) fn new() -> Nodes {
        let root = Node { path: "/".into(), lookups: 1 };
        Nodes {
            by_number: HashMap::from([(ROOT, root)]),
            by_path: HashMap::from([("/".into(), ROOT)]),
            next: ROOT + 1,
        }
    }

    /// The path of a number.
    pub(crate) fn path(&self, number: u64) -> Option<&str> {
        self.by_number.get(&number).map(|node| node.path.as_str())
    }

    /// The kernel has been told of `path` once more.
    pub(crate) fn look_up(&mut self, path: &str) -> u64 {
        if let Some(number) = self.by_path.get(path) {
            if let Some(node) = self.by_number.get_mut(number) {
                node.lookups += 1;
            }
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.by_number.insert(number, Node { path: path.into(), lookups: 1 });
        self.by_path.insert(path.into(), number);
        number
    }

    /// The kernel forgets it so many times.
    pub(crate) fn forget(&mut self, number: u64, times: u64) {
        let Some(node) = self.by_number.get_mut(&number) else { return };
        node.lookups = node.lookups.saturating_sub(times);
        if node.lookups == 0 && number != ROOT {
            self.by_path.remove(&node.path);
            self.by_number.remove(&number);
        }
    }
}

/// `dir` and then `name`.
pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir == "/" { format!("/{name}") } else { format!("{dir}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_its_number_until_it_is_forgotten() {
        let mut nodes = Nodes::new();
        let boot = nodes.look_up("/proc/boot");
        assert_eq!(nodes.look_up("/proc/boot"), boot);
        nodes.forget(boot, 1);
        assert_eq!(nodes.path(boot), Some("/proc/boot"));
        nodes.forget(boot, 1);
        assert_eq!(nodes.path(boot), None);
        nodes.forget(ROOT, 99);
        assert_eq!(nodes.path(ROOT), Some("/"));
    }
}
