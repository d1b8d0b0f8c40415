//! Turns: what may take long is done on threads that may block, a few at a time, while a bounded number waits.
//!
//! Never makes room because somebody stops waiting for what goes on all the same.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::ServiceError;

/// Places for work of one kind. A handle: clones share the places.
#[derive(Clone)]
pub struct Turns {
    /// Who works now.
    running: Arc<Semaphore>,
    /// Who works now or waits for it.
    admitted: Arc<Semaphore>,
}

impl Turns {
    /// Places for as many at once, for which so many more may wait.
    #[must_use]
    pub fn new(at_once: usize, waiting: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(at_once)),
            admitted: Arc::new(Semaphore::new(at_once + waiting)),
        }
    }

    /// Does work when it is its turn.
    ///
    /// # Errors
    /// [`ServiceError::TooManyRequests`] where too many wait, [`ServiceError::Stopped`] where the work panicked or the
    /// runtime is going down.
    pub async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        let _place = self
            .admitted
            .try_acquire()
            .map_err(|_| ServiceError::TooManyRequests)?;
        let turn = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| ServiceError::Stopped)?;
        // The turn goes along: whoever stops waiting does not make room for one more.
        let working = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        working.await.map_err(|_| ServiceError::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn who_goes_away_makes_no_room_before_the_work_is_done() {
        let turns = Turns::new(1, 1);
        let (end, ended) = mpsc::channel::<()>();
        let (begin, began) = oneshot::channel();
        let work = turns.aside(move || {
            let _ = begin.send(());
            let _ = ended.recv();
        });
        tokio::select! {
            _ = work => panic!("it goes on"),
            _ = began => {}
        }
        // Nobody waits for it any more, and there still is no turn.
        assert_eq!(turns.running.available_permits(), 0);
        let (next, after) = (turns.aside(|| 1), turns.aside(|| 2));
        tokio::pin!(next, after);
        assert!(futures::poll!(&mut next).is_pending());
        assert!(futures::poll!(&mut after).is_pending());
        assert_eq!(turns.aside(|| 3).await, Err(ServiceError::TooManyRequests));
        end.send(()).expect("it goes on");
        assert_eq!((next.await, after.await), (Ok(1), Ok(2)));
    }
}
