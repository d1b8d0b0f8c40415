//! How many requests of each client are under way. Waiting ones count: they are what piles up.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The requests under way, by the address of the client; none: this machine's own, over a Unix socket.
pub(super) struct Clients {
    under_way: Arc<Mutex<HashMap<Option<IpAddr>, usize>>>,
    maximum: usize,
}

/// The place of one request.
pub(super) struct Place {
    under_way: Arc<Mutex<HashMap<Option<IpAddr>, usize>>>,
    client: Option<IpAddr>,
}

impl Clients {
    /// With a limit for each.
    pub fn new(maximum: usize) -> Self {
        Self {
            under_way: Arc::default(),
            maximum,
        }
    }

    /// The limit.
    pub fn maximum(&self) -> usize {
        self.maximum
    }

    /// A place for one more request; none if there are as many as may be.
    pub fn enter(&self, client: Option<IpAddr>) -> Option<Place> {
        let mut under_way = self.under_way.lock();
        let number = under_way.entry(client).or_default();
        if *number >= self.maximum {
            return None;
        }
        *number = number.saturating_add(1);
        Some(Place {
            under_way: Arc::clone(&self.under_way),
            client,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock();
        if let Some(number) = under_way.get_mut(&self.client) {
            *number = number.saturating_sub(1);
            if *number == 0 {
                under_way.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_limit_and_a_place_that_is_left_is_free() {
        let clients = Clients::new(2);
        let address = |last| Some(IpAddr::from([127, 0, 0, last]));
        let first = clients.enter(address(1));
        let _second = clients.enter(address(1));
        assert!(first.is_some() && clients.enter(address(1)).is_none());
        assert!(clients.enter(address(2)).is_some());
        drop(first);
        assert!(clients.enter(address(1)).is_some());
    }
}
