//! The proxies, with this very process in the part of node 0 and no process in that of node 1.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::network::{Link, Network};
use crate::support::Result;

/// How long is waited for what has to come.
const MAXIMUM_WAIT: Duration = Duration::from_secs(10);

/// How long is waited for what must not come. A shorter wait would only overlook more.
const SILENCE: Duration = Duration::from_millis(100);

/// Bytes pass on an open link, wait on a held one in its direction only, and never come from a stranger.
pub async fn links_are_obeyed() -> Result<()> {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let unused: SocketAddr = (Ipv4Addr::LOCALHOST, 1).into();
    let network = Network::start(&[unused, server.local_addr()?]).await?;

    let mut stranger = TcpStream::connect(network.address(1)).await?;
    if receive(&mut stranger).await?.is_some() {
        return Err("a process that is no node was not turned away".into());
    }

    network.set_process(0, std::process::id());
    let mut dialer = TcpStream::connect(network.address(1)).await?;
    let (mut acceptor, _) = tokio::time::timeout(MAXIMUM_WAIT, server.accept()).await??;
    dialer.write_all(b"a").await?;
    expect(&mut acceptor, Some(b'a'), "an open link").await?;

    network.set_links(&[(0, 1)], Link::Held);
    dialer.write_all(b"b").await?;
    acceptor.write_all(b"c").await?;
    expect(
        &mut dialer,
        Some(b'c'),
        "the open direction of a link that is held in the other",
    )
    .await?;
    if tokio::time::timeout(SILENCE, acceptor.read_u8()).await.is_ok() {
        return Err("a byte passed a held link".into());
    }
    network.heal();
    expect(&mut acceptor, Some(b'b'), "a link that was held").await?;

    network.set_links(&[(0, 1), (1, 0)], Link::Cut);
    expect(&mut dialer, None, "a cut link").await?;
    expect(&mut acceptor, None, "a cut link").await?;
    let mut refused = TcpStream::connect(network.address(1)).await?;
    expect(&mut refused, None, "a new connection on a cut link").await
}

async fn expect(stream: &mut TcpStream, expected: Option<u8>, link: &str) -> Result<()> {
    let received = receive(stream).await?;
    if received == expected {
        return Ok(());
    }
    Err(format!("{link} gave {received:?} instead of {expected:?}").into())
}

/// The next byte; none if the connection has ended.
async fn receive(stream: &mut TcpStream) -> Result<Option<u8>> {
    let mut byte = [0];
    match tokio::time::timeout(MAXIMUM_WAIT, stream.read(&mut byte)).await? {
        Ok(1) => Ok(Some(byte[0])),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
        Err(error) => Err(error.into()),
    }
}
