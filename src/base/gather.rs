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
