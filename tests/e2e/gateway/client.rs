//! As much of an HTTP client as the gateway needs.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::support::Result;

/// How long one answer may take.
pub const MAXIMUM_WAIT: Duration = Duration::from_secs(60);

/// The end of a head.
const END: &[u8] = b"\r\n\r\n";

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The body, without what differs from run to run.
    pub fn json(&self) -> Result<Value> {
        let mut value = serde_json::from_str(&self.body)
            .map_err(|error| format!("{error}: {} {}", self.status, self.body))?;
        normalize(&mut value);
        Ok(value)
    }

    /// Whether a line of the head is this, in whatever case.
    pub fn has_header(&self, header: &str) -> bool {
        let lines = || self.head.lines();
        lines().any(|line| line.eq_ignore_ascii_case(header))
    }
}

/// Takes out what differs from run to run.
fn normalize(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["cluster_id", "member_id", "raft_term"] {
                fields.remove(name);
            }
            fields.values_mut().for_each(normalize);
        }
        Value::Array(values) => values.iter_mut().for_each(normalize),
        _ => {}
    }
}

/// Sends a request; the connection, with nothing read of it. HTTP/1.0, so that the body comes as it is.
pub async fn send(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Result<TcpStream> {
    let mut connection = TcpStream::connect(address).await?;
    let host = if headers.contains("Host:") {
        String::new()
    } else {
        format!("Host: {address}\r\n")
    };
    let request = format!(
        "{method} {path} HTTP/1.0\r\n{host}{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // A server may refuse a body before it has read all of it.
    let _ = connection.write_all(request.as_bytes()).await;
    Ok(connection)
}

/// Sends a request and reads the answer to its end: its head, and the bytes of its body.
pub async fn ask_for_bytes(
    address: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Result<(String, Vec<u8>)> {
    let mut connection = send(address, method, path, headers, body).await?;
    let mut answer = Vec::new();
    let reading = timeout(MAXIMUM_WAIT, connection.read_to_end(&mut answer)).await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let Some(end) = answer.windows(END.len()).position(|bytes| bytes == END) else {
        return Err(format!("{path}: no HTTP answer ({reading:?}): {}", text(&answer)).into());
    };
    let body = answer.split_off(end + END.len());
    answer.truncate(end);
    Ok((text(&answer), body))
}

/// The same, of an answer that is text.
pub async fn ask(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer> {
    let (head, body) = ask_for_bytes(address, method, path, headers, body).await?;
    Ok(Answer {
        status: head.split(' ').nth(1).ok_or("no status")?.parse()?,
        head,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// Posts JSON.
pub async fn post(address: &str, path: &str, body: &Value) -> Result<Answer> {
    ask(address, "POST", path, "", &body.to_string()).await
}

/// A stream of answers: the lines of a body.
pub struct Stream {
    lines: Lines<BufReader<OwnedReadHalf>>,
    /// Where more of the request goes.
    pub writing: OwnedWriteHalf,
}

impl Stream {
    /// Posts and reads the head of the answer.
    pub async fn open(address: &str, path: &str, body: &str) -> Result<Self> {
        Self::on(send(address, "POST", path, "", body).await?).await
    }

    /// The answers on a connection on which a request was sent.
    pub async fn on(connection: TcpStream) -> Result<Self> {
        let (reading, writing) = connection.into_split();
        let mut stream = Self {
            lines: BufReader::new(reading).lines(),
            writing,
        };
        let head = stream.line().await?;
        if !head.contains(" 200 ") {
            return Err(head.into());
        }
        while !stream.line().await?.is_empty() {}
        Ok(stream)
    }

    async fn line(&mut self) -> Result<String> {
        let line = timeout(MAXIMUM_WAIT, self.lines.next_line()).await??;
        line.ok_or_else(|| "the stream has ended".into())
    }

    /// The next line, without what differs from run to run.
    pub async fn json(&mut self) -> Result<Value> {
        let mut value = serde_json::from_str(&self.line().await?)?;
        normalize(&mut value);
        Ok(value)
    }
}
