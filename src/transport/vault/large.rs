//! Places for requests with large bodies: few for all clients together, and fewer for each, so that none keeps the others
//! from writing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places.
pub(super) struct LargeBodies {
    all: Arc<Semaphore>,
    per_client: usize,
    /// Those of each client that has one or waits for one, by its address; none: this machine's own, over a Unix socket.
    own: Mutex<HashMap<Option<IpAddr>, Weak<Semaphore>>>,
}

/// The place of one request with a large body.
pub(super) struct LargePlace {
    _own: Option<OwnedSemaphorePermit>,
    _of_all: Option<OwnedSemaphorePermit>,
}

impl LargeBodies {
    /// So many in all, and so many of them for each client.
    pub fn new(all: usize, per_client: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            per_client,
            own: Mutex::default(),
        }
    }

    /// Waits for a place. A client that has all of its own waits for them, and takes none that others could have meanwhile.
    pub async fn take(&self, client: Option<IpAddr>) -> LargePlace {
        // None is ever closed, so that there is always a permit to wait for.
        LargePlace {
            _own: self.own(client).acquire_owned().await.ok(),
            _of_all: Arc::clone(&self.all).acquire_owned().await.ok(),
        }
    }

    fn own(&self, client: Option<IpAddr>) -> Arc<Semaphore> {
        let mut own = self.own.lock();
        own.retain(|_, places| places.strong_count() > 0);
        if let Some(places) = own.get(&client).and_then(Weak::upgrade) {
            return places;
        }
        let places = Arc::new(Semaphore::new(self.per_client));
        own.insert(client, Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn each_client_has_a_few_of_all_places_and_waits_for_its_own_first() {
        let address = |last| Some(IpAddr::from([127, 0, 0, last]));
        let places = LargeBodies::new(3, 2);
        let take = |last| places.take(address(last)).now_or_never();
        let first = take(1);
        let second = take(1);
        assert!(first.is_some() && second.is_some());
        assert!(take(1).is_none(), "two are its own");
        let third = take(2);
        assert!(third.is_some(), "who waits holds none back");
        assert!(take(2).is_none() && take(3).is_none(), "three are all");
        drop(first);
        let fourth = take(1);
        assert!(fourth.is_some());
        drop((second, third, fourth));
        assert!(take(3).is_some());
        assert_eq!(
            places.own.lock().len(),
            1,
            "who has none and waits for none is forgotten"
        );
    }
}
