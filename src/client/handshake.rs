//! The beginning of an HTTP/2 connection, which shows that the other side speaks it.
//!
//! Nothing is asked before both sides have greeted each other, so that whoever has no connection knows that nothing can
//! have been done: a server that speaks TLS, or none at all, never answers the greeting. Never reads a request or an answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// What every client says first: RFC 9113, section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Settings that change none.
const EMPTY_SETTINGS: [u8; HEAD_BYTES] = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
/// Bytes before the content of a frame: three of its length, its kind, its flags and four of its stream.
const HEAD_BYTES: usize = 9;
const SETTINGS: u8 = 4;
const ACKNOWLEDGED: u8 = 1;
/// Largest content of a frame for who has asked for no other.
const MAXIMUM_CONTENT_BYTES: usize = 16_384;
/// Most frames before the greeting is acknowledged.
const MAXIMUM_FRAMES: usize = 16;

/// A connection on which both sides have greeted each other.
#[derive(Debug)]
pub(crate) struct Greeted<S> {
    stream: S,
    /// What the other side has said already.
    heard: Bytes,
    /// How much of the preface was sent already, and is not sent again.
    unsaid: usize,
}

/// Greets the other side and waits until it does so, too.
///
/// # Errors
/// The other side is gone, or does not speak HTTP/2.
pub(crate) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<Greeted<S>> {
    stream
        .write_all(&[PREFACE.as_slice(), &EMPTY_SETTINGS].concat())
        .await?;
    stream.flush().await?;
    let mut heard = Vec::new();
    for number in 0..MAXIMUM_FRAMES {
        let mut head = [0; HEAD_BYTES];
        stream.read_exact(&mut head).await.map_err(silent)?;
        let [high, middle, low, kind, flags, ..] = head;
        let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX);
        let is_acknowledgement = kind == SETTINGS && flags & ACKNOWLEDGED != 0;
        if length > MAXIMUM_CONTENT_BYTES || (number == 0 && (kind != SETTINGS || is_acknowledgement)) {
            return Err(foreign("it does not speak HTTP/2"));
        }
        if is_acknowledgement {
            // It is the answer to these settings; those of the library get one of their own.
            return Ok(Greeted {
                stream,
                heard: heard.into(),
                unsaid: PREFACE.len(),
            });
        }
        let mut content = vec![0; length];
        stream.read_exact(&mut content).await.map_err(silent)?;
        heard.extend_from_slice(&head);
        heard.append(&mut content);
    }
    Err(foreign("it does not acknowledge the settings of HTTP/2"))
}

fn silent(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            foreign("it ended the connection before anything was asked")
        }
        _ => error,
    }
}

fn foreign(what: &str) -> io::Error {
    let mend =
        "it may want TLS (write https:// in front of the endpoint) or a certificate (--cert and --key)";
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}; {mend}"))
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.heard.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.heard.len().min(buffer.remaining());
        buffer.put_slice(&self.heard.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unsaid > 0 && !bytes.is_empty() {
            let length = self.unsaid.min(bytes.len());
            bytes.advance(length);
            self.unsaid -= length;
            return Poll::Ready(Ok(length));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a server that says `answer` and is gone.
    async fn greeted_by(answer: &[u8]) -> io::Result<Greeted<impl AsyncRead + AsyncWrite + Unpin>> {
        let (client, mut server) = tokio::io::duplex(1 << 16);
        server.write_all(answer).await.unwrap();
        server.shutdown().await.unwrap();
        let outcome = greet(client).await;
        let mut said = Vec::new();
        server.read_buf(&mut said).await.unwrap();
        assert_eq!(said, [PREFACE.as_slice(), &EMPTY_SETTINGS].concat());
        outcome
    }

    #[tokio::test]
    async fn the_first_acknowledgement_is_kept_and_all_else_is_passed_on() {
        let settings = [0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        let window = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        let acknowledgement = [0, 0, 0, SETTINGS, ACKNOWLEDGED, 0, 0, 0, 0];
        let answer = [&settings[..], &window, &acknowledgement, b"rest"].concat();
        let mut greeted = greeted_by(&answer).await.unwrap();
        let mut heard = Vec::new();
        greeted.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, [&settings[..], &window, b"rest"].concat());
    }

    #[tokio::test]
    async fn the_preface_is_said_once() {
        let (client, mut server) = tokio::io::duplex(1 << 16);
        let mut greeted = Greeted {
            stream: client,
            heard: Bytes::new(),
            unsaid: PREFACE.len(),
        };
        greeted.write_all(&PREFACE[..10]).await.unwrap();
        greeted
            .write_all(&[&PREFACE[10..], b"more"].concat())
            .await
            .unwrap();
        drop(greeted);
        let mut said = Vec::new();
        server.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"more");
    }

    #[tokio::test]
    async fn who_speaks_something_else_is_told_apart() {
        let alert = [0x15, 3, 3, 0, 2, 2, 70];
        let acknowledgement = [0, 0, 0, SETTINGS, ACKNOWLEDGED, 0, 0, 0, 0];
        for answer in [
            &b""[..],
            &alert,
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            &acknowledgement,
        ] {
            let error = greeted_by(answer).await.err().unwrap();
            assert!(error.to_string().contains("write https://"), "{error}");
        }
    }
}
