//! Who waits together goes together.

use tokio::sync::mpsc;

/// What a task takes its work from.
pub trait Source<Item> {
    /// Waits for something and takes at most `maximum`; how much it was, none when nothing can come any more.
    fn receive(&mut self, taken: &mut Vec<Item>, maximum: usize) -> impl Future<Output = usize> + Send;

    /// Takes one, if there is one.
    fn next_at_hand(&mut self) -> Option<Item>;
}

impl<Item: Send> Source<Item> for mpsc::Receiver<Item> {
    async fn receive(&mut self, taken: &mut Vec<Item>, maximum: usize) -> usize {
        self.recv_many(taken, maximum).await
    }

    fn next_at_hand(&mut self) -> Option<Item> {
        self.try_recv().ok()
    }
}

impl<Item: Send> Source<Item> for mpsc::UnboundedReceiver<Item> {
    async fn receive(&mut self, taken: &mut Vec<Item>, maximum: usize) -> usize {
        self.recv_many(taken, maximum).await
    }

    fn next_at_hand(&mut self) -> Option<Item> {
        self.try_recv().ok()
    }
}

/// Waits until something is there and takes it, with what the tasks that are about to run add to it: at most `maximum`
/// together. False when nothing can come any more.
pub async fn take_waiting<Item>(
    source: &mut impl Source<Item>,
    taken: &mut Vec<Item>,
    maximum: usize,
) -> bool {
    if source.receive(taken, maximum).await == 0 {
        return false;
    }
    tokio::task::yield_now().await;
    while taken.len() < maximum
        && let Some(item) = source.next_at_hand()
    {
        taken.push(item);
    }
    true
}
