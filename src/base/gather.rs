//! Fewer writes to sockets: what several tasks answer on one connection at about the same time leaves in one system call.
//!
//! An HTTP/2 connection writes whenever one of its streams has something to send, and a write to a socket costs more than
//! most answers. [`Gathered`] holds what is written until it is flushed, and puts the flush off once, behind the tasks that
//! are ready to run: what they send goes out with it. Nothing waits for a timer, so that a lone answer leaves at once.
//!
//! Opens nothing, knows no protocol and never changes the bytes or their order.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// Bytes that are held before they are written without a flush.
const MAXIMUM_HELD_BYTES: usize = 64 * 1024;

/// A stream whose writes are gathered between flushes.
#[derive(Debug)]
pub struct Gathered<S> {
    inner: S,
    held: BytesMut,
    /// The flush that is under way has been put off already.
    is_put_off: bool,
}

impl<S> Gathered<S> {
    /// Gathers what is written to `inner`.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            held: BytesMut::new(),
            is_put_off: false,
        }
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    /// Writes what is held.
    fn poll_release(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(context, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Connected> Connected for Gathered<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> S::ConnectInfo {
        self.inner.connect_info()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

/// Not vectored: what is written is copied, so that there is nothing to gain.
impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.held.len() + bytes.len() > MAXIMUM_HELD_BYTES {
            ready!(self.poll_release(context))?;
            if bytes.len() > MAXIMUM_HELD_BYTES {
                return Pin::new(&mut self.inner).poll_write(context, bytes);
            }
        }
        self.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            if !std::mem::replace(&mut self.is_put_off, true) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(self.poll_release(context))?;
        }
        self.is_put_off = false;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_release(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Takes what it is allowed to and records the writes.
    #[derive(Default)]
    struct Socket {
        writes: Vec<Vec<u8>>,
        /// Bytes that each write takes at most; when none is left, all.
        room: VecDeque<usize>,
    }

    impl AsyncWrite for Socket {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let room = self.room.pop_front().unwrap_or(bytes.len()).min(bytes.len());
            if room == 0 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.writes.push(bytes[..room].to_vec());
            Poll::Ready(Ok(room))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_written_before_a_flush_leaves_in_one_write() {
        let mut stream = Gathered::new(Socket::default());
        stream.write_all(b"headers ").await.unwrap();
        stream.write_all(b"data").await.unwrap();
        assert!(stream.inner.writes.is_empty());
        stream.flush().await.unwrap();
        assert_eq!(stream.inner.writes, [b"headers data"]);
    }

    #[tokio::test]
    async fn a_flush_lets_the_tasks_that_are_ready_go_first_and_only_once() {
        let mut stream = Gathered::new(Socket::default());
        stream.write_all(b"a").await.unwrap();
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut stream).poll_flush(&mut context).is_pending());
        stream.write_all(b"b").await.unwrap();
        assert!(Pin::new(&mut stream).poll_flush(&mut context).is_ready());
        assert_eq!(stream.inner.writes, [b"ab"]);
        assert!(
            Pin::new(&mut stream).poll_flush(&mut context).is_ready(),
            "nothing is left"
        );
    }

    #[tokio::test]
    async fn nothing_is_lost_or_reordered_when_the_socket_takes_little() {
        let mut stream = Gathered::new(Socket {
            room: VecDeque::from([3, 0, 1, 0, 0, 5]),
            ..Socket::default()
        });
        let large = vec![7; MAXIMUM_HELD_BYTES + 1];
        stream.write_all(b"small").await.unwrap();
        stream.write_all(&large).await.unwrap();
        stream.write_all(b"last").await.unwrap();
        assert!(stream.held.len() <= MAXIMUM_HELD_BYTES);
        stream.shutdown().await.unwrap();
        let expected = [&b"small"[..], &large, b"last"].concat();
        assert_eq!(stream.inner.writes.concat(), expected);
    }

    #[tokio::test]
    async fn reads_pass_through() {
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(b"hello").await.unwrap();
        drop(near);
        let mut read = Vec::new();
        Gathered::new(far).read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"hello");
    }
}
