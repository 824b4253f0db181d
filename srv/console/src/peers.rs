//! What is held against each peer, by its address; bounded.

use console::Throttle;
use rt::HashMap;
use rt::prelude::*;
use shell::{Arc, Mutex, lock};

/// Addresses that are remembered.
const PEERS_MAX: usize = 4096;

#[derive(Default)]
pub(crate) struct Peers {
    throttles: HashMap<String, Arc<Mutex<Throttle>>>,
}

impl Peers {
    /// The peer's throttle; None where so many are locked out that no more can be told apart.
    pub(crate) fn throttle(&mut self, name: &str, now_ms: u64) -> Option<Arc<Mutex<Throttle>>> {
        if let Some(throttle) = self.throttles.get(name) {
            return Some(Arc::clone(throttle));
        }
        if self.throttles.len() >= PEERS_MAX {
            // One that has a connection is kept alive by it.
            self.throttles
                .retain(|_, throttle| Arc::strong_count(throttle) > 1 || !lock(throttle).is_idle(now_ms));
        }
        if self.throttles.len() >= PEERS_MAX {
            return None;
        }
        let throttle = Arc::<Mutex<Throttle>>::default();
        self.throttles.insert(name.to_owned(), Arc::clone(&throttle));
        Some(throttle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_a_peer_share_what_is_held_against_it() {
        let mut peers = Peers::default();
        let one = peers.throttle("10.0.0.1", 0).unwrap();
        assert_eq!((0..3).find_map(|_| one.lock().unwrap().fail(0)), Some(90_000));
        assert!(peers.throttle("10.0.0.1", 1).unwrap().lock().unwrap().locked_until(1).is_some());
        assert!(peers.throttle("10.0.0.2", 1).unwrap().lock().unwrap().locked_until(1).is_none());
    }

    #[test]
    fn the_locked_are_not_forgotten_for_newcomers() {
        let mut peers = Peers::default();
        for i in 0..PEERS_MAX {
            let throttle = peers.throttle(&i.to_string(), 0).unwrap();
            assert_eq!((0..3).find_map(|_| throttle.lock().unwrap().fail(0)), Some(90_000));
        }
        assert!(peers.throttle("new", 1).is_none());
        assert!(peers.throttle("7", 1).is_some());
        assert!(peers.throttle("new", u64::MAX / 2).is_some());
    }
}
