//! The open connections whose other side has shown a certificate, so that they can be ended when it is revoked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;

use futures::task::AtomicWaker;
use parking_lot::Mutex;

use super::certificate::{CertificateKey, RevokedCertificates};

/// Ends a connection from outside.
#[derive(Debug, Default)]
pub(super) struct Cut {
    is_cut: AtomicBool,
    waker: AtomicWaker,
}

impl Cut {
    fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether the connection must end. If not, the task of `context` is woken when it must.
    pub(super) fn poll(&self, context: &Context<'_>) -> bool {
        self.waker.register(context.waker());
        self.is_cut.load(Ordering::Acquire)
    }
}

/// All such connections of one side.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenConnections {
    shared: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    connections: HashMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    chain: Vec<CertificateKey>,
    cut: Arc<Cut>,
}

/// A connection's place in the table, given back when the connection is dropped.
#[derive(Debug)]
pub(super) struct Registration {
    connections: OpenConnections,
    number: u64,
    pub(super) cut: Arc<Cut>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.shared.lock().connections.remove(&self.number);
    }
}

impl OpenConnections {
    /// Enters a connection whose other side has shown `chain`.
    pub(super) fn enter(&self, chain: Vec<CertificateKey>) -> Registration {
        let cut = Arc::new(Cut::default());
        let mut table = self.shared.lock();
        let number = table.next;
        table.next = number.wrapping_add(1);
        let open = Open {
            chain,
            cut: Arc::clone(&cut),
        };
        table.connections.insert(number, open);
        Registration {
            connections: self.clone(),
            number,
            cut,
        }
    }

    /// Ends the connections of revoked certificates; how many there were.
    pub(super) fn cut_revoked(&self, revoked: &RevokedCertificates) -> usize {
        let table = self.shared.lock();
        let is_revoked = |open: &&Open| open.chain.iter().any(|certificate| revoked.contains(certificate));
        let mut count = 0;
        for open in table.connections.values().filter(is_revoked) {
            open.cut.cut();
            count += 1;
        }
        count
    }
}
