//! A gRPC client that costs as little as it can: the servers share the processors with the load program.
//!
//! It speaks HTTP/2 with `h2` itself, sends messages that were encoded before, and reads of an answer only that it
//! came whole and its status.

use std::future::poll_fn;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use prost::Message;
use stead::base::gather::Gathered;
use tokio::net::TcpStream;

use super::support::Result;

/// Large enough that no answer of a round waits for a window update.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 24;

/// A message as it is on the wire: not compressed, its length, its bytes.
pub fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("a request of the load is small"));
    message.encode(&mut frame).expect("the buffer grows");
    frame.freeze()
}

/// What is called.
#[derive(Clone, Copy)]
pub enum Call {
    Put,
    Range,
    ReadSecret,
    WriteSecret,
}

impl Call {
    const ALL: [Self; 4] = [Self::Put, Self::Range, Self::ReadSecret, Self::WriteSecret];

    fn path(self) -> &'static str {
        match self {
            Self::Put => "etcdserverpb.KV/Put",
            Self::Range => "etcdserverpb.KV/Range",
            Self::ReadSecret => "stead.secrets.v1.Secrets/Read",
            Self::WriteSecret => "stead.secrets.v1.Secrets/Write",
        }
    }
}

/// One connection. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Connection {
    sender: SendRequest<Bytes>,
    /// Of each call, in the order of [`Call::ALL`].
    addresses: [Uri; 4],
    headers: HeaderMap,
}

impl Connection {
    /// Connects to `endpoint`, such as `http://127.0.0.1:2379`. The connection is served by a task of the current
    /// runtime. `token` is for the secret store.
    pub async fn open(endpoint: &str, token: Option<&str>) -> Result<Self> {
        let uri: Uri = endpoint.parse()?;
        let authority = uri
            .authority()
            .ok_or_else(|| format!("{endpoint} has no host and port"))?
            .as_str();
        let socket = TcpStream::connect(authority).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(Gathered::new(socket))
            .await?;
        tokio::spawn(connection);
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static("te"),
            HeaderValue::from_static("trailers"),
        );
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        if let Some(token) = token {
            headers.insert(HeaderName::from_static("x-vault-token"), token.parse()?);
        }
        let mut addresses: [Uri; 4] = Default::default();
        for (address, call) in addresses.iter_mut().zip(Call::ALL) {
            *address = format!("http://{authority}/{}", call.path()).parse()?;
        }
        Ok(Self {
            sender: sender.ready().await?,
            addresses,
            headers,
        })
    }

    /// Sends one encoded message and waits for the whole answer. Any status but OK is an error.
    pub async fn call(&mut self, method: Call, message: Bytes) -> Result<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = self.headers.clone();
        *request.uri_mut() = self.addresses[method as usize].clone();
        poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (response, mut stream) = self.sender.send_request(request, false)?;
        stream.send_data(message, true)?;
        let (head, mut body) = response.await?.into_parts();
        while let Some(chunk) = body.data().await {
            let length = chunk?.len();
            body.flow_control().release_capacity(length)?;
        }
        let trailers = body.trailers().await?;
        let status = trailers.as_ref().unwrap_or(&head.headers).get("grpc-status");
        if status.is_some_and(|status| status == "0") {
            Ok(())
        } else {
            Err(format!("the answer has the status {status:?}").into())
        }
    }
}
