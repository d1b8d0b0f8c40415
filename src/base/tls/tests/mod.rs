//! Handshakes over real sockets, with certificates made for each test.

mod anybody;
mod follow;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::pki::{self, Authority, Issued, Pair, replace};
use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with an authority, and a server that accepts what the authority has signed.
struct Site {
    folder: tempfile::TempDir,
    authority: Authority,
    settings: TlsSettings,
}

fn files(pair: Pair) -> CertificateFiles {
    CertificateFiles {
        certificate: pair.certificate,
        key: pair.key,
    }
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("authority").unwrap();
        let server = authority.issue("server", &["127.0.0.1", "localhost"]).unwrap();
        let mut settings = TlsSettings::new(Side::Client);
        settings.identity = Some(Identity::Files(files(
            server.write(folder.path(), "server").unwrap(),
        )));
        settings.authorities = Some(folder.path().join("ca.pem"));
        settings.revocations = Some(folder.path().join("crl.pem"));
        settings.requires_certificate = true;
        settings.names_callers = true;
        replace(&folder.path().join("ca.pem"), authority.pem().as_bytes()).unwrap();
        replace(
            &folder.path().join("crl.pem"),
            authority.revoke(&[]).unwrap().as_bytes(),
        )
        .unwrap();
        Self {
            folder,
            authority,
            settings,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn replace(&self, name: &str, text: &str) {
        replace(&self.path(name), text.as_bytes()).unwrap();
    }

    fn load(&self) -> Tls {
        Tls::load(self.settings.clone()).unwrap()
    }

    /// What a client with this certificate has.
    fn client(&self, issued: Option<&Issued>) -> Tls {
        client(self.folder.path(), &self.path("ca.pem"), issued)
    }
}

fn client(folder: &Path, authorities: &Path, issued: Option<&Issued>) -> Tls {
    let mut settings = TlsSettings::new(Side::Client);
    settings.authorities = Some(authorities.to_owned());
    settings.dialling_identity = issued.map(|issued| files(issued.write(folder, "client").unwrap()));
    Tls::load(settings).unwrap()
}

/// A listener, served by `tls`, that answers one byte with the same.
async fn echo(entrance: Entrance) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let entrance = entrance.clone();
            tokio::spawn(async move {
                let Some(mut socket) = entrance.admit(stream).await else {
                    return;
                };
                while let Ok(byte) = socket.read_u8().await {
                    socket.write_u8(byte).await.unwrap();
                    socket.flush().await.unwrap();
                }
            });
        }
    });
    address
}

async fn exchange(socket: &mut Socket) -> std::io::Result<u8> {
    socket.write_u8(7).await?;
    socket.flush().await?;
    timeout(PATIENCE, socket.read_u8()).await.unwrap()
}

/// Connects and exchanges a byte: with TLS 1.3 a client learns that it is refused only when it reads.
async fn call(client: &Tls, address: SocketAddr) -> std::io::Result<Socket> {
    let stream = TcpStream::connect(address).await?;
    let mut socket = client.connect(stream, "127.0.0.1").await?;
    exchange(&mut socket).await?;
    Ok(socket)
}

/// A dialled connection and the same one accepted.
async fn pair_of_streams() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    (dialled, accepted)
}

/// What a server of these settings makes of one client.
async fn admit(tls: &Tls, client: &Tls) -> (Option<Socket>, std::io::Result<Socket>) {
    let (dialled, accepted) = pair_of_streams().await;
    let entrance = Entrance::new(Side::Client, Some(tls.clone()));
    tokio::join!(entrance.admit(accepted), client.connect(dialled, "127.0.0.1"))
}

#[tokio::test]
async fn a_client_is_let_in_with_a_certificate_of_the_authority_and_named_by_it() {
    let site = Site::new();
    let alice = site.authority.issue("alice", &[]).unwrap();
    let (admitted, dialled) = admit(&site.load(), &site.client(Some(&alice))).await;
    let name = admitted.unwrap().certificate_name();
    assert_eq!(name, Some(CertificateName("alice".into())));
    dialled.unwrap();

    let nobody = site.client(None);
    assert!(admit(&site.load(), &nobody).await.0.is_none(), "no certificate");
    let other = Authority::new("authority").unwrap().issue("alice", &[]).unwrap();
    let stranger = site.client(Some(&other));
    assert!(
        admit(&site.load(), &stranger).await.0.is_none(),
        "another authority"
    );
    let late = site.authority.issue_expired("alice", &[]).unwrap();
    let late = site.client(Some(&late));
    assert!(admit(&site.load(), &late).await.0.is_none(), "its time is over");
}

#[tokio::test]
async fn a_name_is_taken_from_a_certificate_only_if_that_is_asked_for() {
    let mut site = Site::new();
    site.settings.names_callers = false;
    let alice = site.authority.issue("alice", &[]).unwrap();
    let (admitted, _) = admit(&site.load(), &site.client(Some(&alice))).await;
    assert_eq!(admitted.unwrap().certificate_name(), None);
}

#[tokio::test]
async fn a_server_must_be_who_was_meant_and_of_the_authority() {
    let mut site = Site::new();
    site.settings.requires_certificate = false;
    let elsewhere = site.authority.issue("server", &["10.0.0.1"]).unwrap();
    site.settings.identity = Some(Identity::Files(files(
        elsewhere.write(site.folder.path(), "elsewhere").unwrap(),
    )));
    let error = admit(&site.load(), &site.client(None)).await.1.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");

    let other = Authority::new("other").unwrap();
    replace(&site.path("other.pem"), other.pem().as_bytes()).unwrap();
    let stranger = client(site.folder.path(), &site.path("other.pem"), None);
    let error = admit(&site.load(), &stranger).await.1.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");

    let mut careless = TlsSettings::new(Side::Peer);
    careless.trusts_any_server = true;
    let careless = Tls::load(careless).unwrap();
    admit(&site.load(), &careless).await.1.unwrap();
}

#[tokio::test]
async fn a_self_signed_certificate_in_the_file_of_authorities_is_trusted_for_its_own_name_only() {
    let mut site = Site::new();
    site.settings.requires_certificate = false;
    for (host, is_good) in [("127.0.0.1", true), ("10.0.0.1", false)] {
        let own = pki::self_signed("server", &[host]).unwrap();
        site.replace("own.pem", &own.certificate);
        site.settings.identity = Some(Identity::Files(files(
            own.write(site.folder.path(), "self").unwrap(),
        )));
        let client = client(site.folder.path(), &site.path("own.pem"), None);
        let dialled = admit(&site.load(), &client).await.1;
        assert_eq!(dialled.is_ok(), is_good, "{host}: {dialled:?}");
    }
}

#[tokio::test]
async fn a_serial_number_that_another_authority_has_revoked_is_good() {
    let site = Site::new();
    let alice = site.authority.issue("alice", &[]).unwrap();
    let other = Authority::new("other").unwrap();
    let same_serial = other.issue("alice", &[]).unwrap();
    site.replace("crl.pem", &other.revoke(&[&same_serial]).unwrap());
    let (admitted, _) = admit(&site.load(), &site.client(Some(&alice))).await;
    assert!(admitted.is_some());
}

#[tokio::test]
async fn an_older_version_than_the_oldest_is_refused() {
    let mut site = Site::new();
    site.settings.requires_certificate = false;
    let mut old = TlsSettings::new(Side::Client);
    old.authorities = Some(site.path("ca.pem"));
    old.maximum_version = TlsVersion::Tls12;
    let old = Tls::load(old).unwrap();
    admit(&site.load(), &old).await.1.unwrap();
    site.settings.minimum_version = TlsVersion::Tls13;
    let (admitted, dialled) = admit(&site.load(), &old).await;
    assert!(admitted.is_none());
    let error = dialled.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

#[tokio::test]
async fn only_allowed_names_are_let_in() {
    let mut site = Site::new();
    let alice = site.authority.issue("alice", &["alice.example.com"]).unwrap();
    let alices = site.client(Some(&alice));
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (allowed, is_in) in [
        (AllowedNames::CommonNames(names(&["bob", "alice"])), true),
        (AllowedNames::CommonNames(names(&["bob"])), false),
        (
            AllowedNames::Hosts(names(&["10.0.0.1", "alice.example.com"])),
            true,
        ),
        (AllowedNames::Hosts(names(&["alice"])), false),
    ] {
        site.settings.allowed = allowed.clone();
        let (admitted, _) = admit(&site.load(), &alices).await;
        assert_eq!(admitted.is_some(), is_in, "{allowed:?}");
    }
}

#[tokio::test]
async fn a_peer_must_connect_from_an_address_of_its_certificate_if_it_names_any() {
    let mut site = Site::new();
    site.settings.checks_address = true;
    for (hosts, is_in) in [
        (&[][..], true),
        (&["127.0.0.1"][..], true),
        (&["10.0.0.1", "localhost"][..], true),
        (&["10.0.0.1"][..], false),
    ] {
        let issued = site.authority.issue("peer", hosts).unwrap();
        let (admitted, _) = admit(&site.load(), &site.client(Some(&issued))).await;
        assert_eq!(admitted.is_some(), is_in, "{hosts:?}");
    }
}

#[tokio::test]
async fn who_speaks_the_wrong_protocol_gets_an_end_and_who_says_nothing_holds_up_nobody() {
    let site = Site::new();
    let alice = site.authority.issue("alice", &[]).unwrap();
    let protected = echo(Entrance::new(Side::Client, Some(site.load()))).await;
    let silent = TcpStream::connect(protected).await.unwrap();
    let mut stalled = TcpStream::connect(protected).await.unwrap();
    stalled.write_all(&[0x16]).await.unwrap();

    let mut plain = TcpStream::connect(protected).await.unwrap();
    plain
        .write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, plain.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(
        answer.contains("Client sent an HTTP request to an HTTPS server."),
        "{answer}"
    );

    let mut grpc = TcpStream::connect(protected).await.unwrap();
    grpc.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    // A reset is an end, too.
    let _ = timeout(PATIENCE, grpc.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");

    let unprotected = echo(Entrance::new(Side::Client, None)).await;
    call(&site.client(Some(&alice)), unprotected).await.unwrap_err();

    call(&site.client(Some(&alice)), protected).await.unwrap();
    drop((silent, stalled));
}

/// An entrance that waits for nobody.
fn impatient(tls: Option<&Tls>) -> Entrance {
    let patience = Duration::from_millis(50);
    Entrance::new(Side::Client, tls.cloned()).with_patience(accept::Patience {
        handshake: patience,
        first_byte: patience,
    })
}

#[tokio::test]
async fn who_does_not_finish_a_handshake_is_sent_away() {
    let site = Site::new();
    let tls = site.load();
    for says in [&b""[..], &[0x16], &[0x16, 3, 1, 0xff, 0xff]] {
        let (mut stalled, accepted) = pair_of_streams().await;
        stalled.write_all(says).await.unwrap();
        assert!(impatient(Some(&tls)).admit(accepted).await.is_none(), "{says:?}");
    }
    let (_silent, accepted) = pair_of_streams().await;
    assert!(impatient(None).admit(accepted).await.is_none());
}

#[tokio::test]
async fn a_handshake_without_a_place_is_not_begun() {
    let site = Site::new();
    let tls = site.load();
    let all = u32::try_from(MAXIMUM_HANDSHAKES).unwrap();
    let places = tls.shared.handshakes.acquire_many(all).await.unwrap();
    let alice = site.authority.issue("alice", &[]).unwrap();
    let client = site.client(Some(&alice));
    let (dialled, accepted) = pair_of_streams().await;
    let dialling = tokio::spawn(async move { client.connect(dialled, "127.0.0.1").await });
    assert!(impatient(Some(&tls)).admit(accepted).await.is_none());
    assert!(dialling.await.unwrap().is_err());
    assert_eq!(tls.shared.handshakes.available_permits(), 0);
    drop(places);
    assert_eq!(tls.shared.handshakes.available_permits(), MAXIMUM_HANDSHAKES);
}

#[test]
fn an_error_names_the_file_and_the_mend() {
    let site = Site::new();
    let error_of = |name: &str, text: &str| {
        let old = fs::read(site.path(name)).unwrap();
        site.replace(name, text);
        let error = Tls::check(&site.settings).unwrap_err();
        replace(&site.path(name), &old).unwrap();
        assert_eq!(error.path, site.path(name));
        error.reason
    };
    let other = site.authority.issue("other", &[]).unwrap();
    for (name, text, part) in [
        ("server.pem", "", "has no certificate"),
        ("ca.pem", "-----BEGIN CERTIFICATE-----\nAA", "is no valid PEM"),
        ("server.key", "nonsense", "has no private key"),
        (
            "server.key",
            other.key.as_str(),
            "is not the key of the certificate",
        ),
        ("crl.pem", "nonsense", "is no revocation list in PEM or DER"),
        ("crl.pem", other.certificate.as_str(), "has no revocation list"),
    ] {
        let reason = error_of(name, text);
        assert!(reason.contains(part), "{name}: {reason}");
    }
    let large = fs::File::create(site.path("crl.pem")).unwrap();
    large.set_len(material::MAXIMUM_FILE_BYTES + 1).unwrap();
    let error = Tls::check(&site.settings).unwrap_err();
    assert!(error.reason.contains("more than 16777216 bytes"), "{error}");
    fs::remove_file(site.path("crl.pem")).unwrap();
    let error = Tls::check(&site.settings).unwrap_err();
    assert!(error.reason.contains("check the path"), "{error}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_made_once_and_its_key_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let wanted = SelfSigned {
        folder: folder.path().join("fixtures/peer"),
        hosts: vec!["127.0.0.1".to_owned()],
        validity_days: 365,
        side: Side::Peer,
    };
    let mut settings = TlsSettings::new(Side::Peer);
    settings.identity = Some(Identity::SelfSigned(wanted.clone()));
    settings.trusts_any_server = true;
    Tls::check(&settings).unwrap();
    assert!(!folder.path().join("fixtures").exists(), "a check writes nothing");

    let tls = Tls::load(settings.clone()).unwrap();
    let (admitted, dialled) = admit(&tls, &tls).await;
    assert!(admitted.is_some());
    dialled.unwrap();
    let key = wanted.folder.join("key.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&key).unwrap();
    Tls::load(settings).unwrap();
    assert_eq!(fs::read(&key).unwrap(), before);
}
