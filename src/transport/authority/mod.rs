//! Calls whose `:authority` is a whole URL, or a path: taken as etcd takes them.
//!
//! Older gRPC clients send the endpoint they were given as it is, `http://127.0.0.1:2379` for one (etcdctl 3.4 does for
//! `endpoint status`). Go's servers do not look at it; the HTTP/2 library here refuses the request, and has no setting for
//! it. [`LenientAuthority`] stands between the socket and that library and puts an authority of the same length into such
//! a header block, so that the library's table of headers stays in step with the client's (RFC 7541, section 2.3.2).
//!
//! Never changes another header, nor an authority that is one; never judges what it cannot read: that goes on as it came,
//! and the HTTP/2 library answers it.

mod block;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client that speaks HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of length, type, flags and stream before the payload of a frame (RFC 9113, section 4.1).
const FRAME_HEAD_BYTES: usize = 9;
/// Largest payload of a frame that a server takes which did not ask for more (RFC 9113, section 4.2).
const MAXIMUM_PAYLOAD_BYTES: usize = 16_384;
/// The type of a frame that opens a stream.
const HEADERS: u8 = 1;
/// The flag of a frame that holds its header block to the end.
const END_HEADERS: u8 = 4;

/// A stream from a client, with authorities that the HTTP/2 library takes.
#[derive(Debug)]
pub(super) struct LenientAuthority<S> {
    inner: S,
    position: Position,
    /// The beginning of a frame whose rest is still to come: at most a frame of headers.
    held: BytesMut,
    /// What was held and can be read now.
    released: BytesMut,
}

/// Where in the client's bytes the next one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// So many bytes into the preface.
    Preface(usize),
    /// So many bytes before the end of a frame that goes on as it is.
    Frame(usize),
    /// In a connection that does not speak HTTP/2.
    Foreign,
}

/// What is done with the next bytes.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// So many go on as they are.
    Pass(usize),
    /// So many are replaced.
    Replace(usize, Vec<u8>),
    /// They are kept until there are more.
    Hold,
}

impl Position {
    /// What to do with `bytes`, which are not empty.
    fn step(&mut self, bytes: &[u8]) -> Step {
        let mut passed = 0;
        loop {
            let rest = &bytes[passed..];
            match self {
                Self::Foreign => return Step::Pass(bytes.len()),
                Self::Preface(seen) => {
                    let length = rest.len().min(PREFACE.len() - *seen);
                    if rest[..length] != PREFACE[*seen..*seen + length] {
                        *self = Self::Foreign;
                        return Step::Pass(bytes.len());
                    }
                    passed += length;
                    *self = match *seen + length {
                        seen if seen == PREFACE.len() => Self::Frame(0),
                        seen => Self::Preface(seen),
                    };
                }
                Self::Frame(left) if *left > 0 => {
                    let length = rest.len().min(*left);
                    *left -= length;
                    passed += length;
                }
                Self::Frame(left) => match next_frame(rest) {
                    Next::Pass(length) => *left = length,
                    Next::Replace(..) | Next::Hold if passed > 0 => return Step::Pass(passed),
                    Next::Replace(length, frame) => return Step::Replace(length, frame),
                    Next::Hold => return Step::Hold,
                },
            }
            if passed == bytes.len() {
                return Step::Pass(passed);
            }
        }
    }
}

/// What is done with the frame that begins here.
enum Next {
    /// It goes on as it is; its length.
    Pass(usize),
    /// Another one takes its place.
    Replace(usize, Vec<u8>),
    /// That cannot be told before more of it is here.
    Hold,
}

fn next_frame(bytes: &[u8]) -> Next {
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD_BYTES>() else {
        return Next::Hold;
    };
    let [high, middle, low, kind, flags, ..] = *head;
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    let whole = FRAME_HEAD_BYTES + length;
    if kind != HEADERS || flags & END_HEADERS == 0 || length > MAXIMUM_PAYLOAD_BYTES {
        return Next::Pass(whole);
    }
    let Some(payload) = rest.get(..length) else {
        return Next::Hold;
    };
    match block::with_authority(flags, payload) {
        Some(payload) if payload.len() <= MAXIMUM_PAYLOAD_BYTES => {
            let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + payload.len());
            // A payload is shorter than 2^24 bytes.
            frame.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
            frame.extend_from_slice(&head[3..]);
            frame.extend_from_slice(&payload);
            Next::Replace(whole, frame)
        }
        _ => Next::Pass(whole),
    }
}

impl<S> LenientAuthority<S> {
    /// Reads what a client sends on `inner`, from its first byte.
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            position: Position::Preface(0),
            held: BytesMut::new(),
            released: BytesMut::new(),
        }
    }

    /// Lets go of all that is held but the beginning of a frame that has to wait for its rest.
    fn release(&mut self) {
        while !self.held.is_empty() {
            match self.position.step(&self.held) {
                Step::Pass(length) => self.released.unsplit(self.held.split_to(length)),
                Step::Replace(length, frame) => {
                    self.held.advance(length);
                    self.released.extend_from_slice(&frame);
                }
                Step::Hold => return,
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LenientAuthority<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if !this.released.is_empty() {
                let length = this.released.len().min(buffer.remaining());
                buffer.put_slice(&this.released.split_to(length));
                return Poll::Ready(Ok(()));
            }
            let start = buffer.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
            let read = &buffer.filled()[start..];
            if read.is_empty() {
                // The client is gone: what it left unfinished is read as it is, and after it the end.
                this.released.unsplit(this.held.split());
                if this.released.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let passed = match this.held.is_empty() {
                true => match this.position.step(read) {
                    Step::Pass(length) if length == read.len() => return Poll::Ready(Ok(())),
                    Step::Pass(length) => length,
                    Step::Replace(..) | Step::Hold => 0,
                },
                false => 0,
            };
            this.held.extend_from_slice(&read[passed..]);
            buffer.set_filled(start + passed);
            this.release();
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LenientAuthority<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
