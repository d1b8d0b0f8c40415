use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::base::tls::pki::{Authority, replace};
use crate::base::tls::{AllowedNames, CertificateFiles, Identity, SelfSigned, Side, TlsVersion};
use crate::config::{Invocation, ServerConfig, parse};

const PROTECTED_CLIENT: &[&str] = &[
    "--listen-client-urls=https://127.0.0.1:1",
    "--advertise-client-urls=https://127.0.0.1:1",
];

/// A folder with the files that the flags name.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("authority").unwrap();
        for name in ["server", "peer", "other"] {
            let issued = authority.issue(name, &["127.0.0.1"]).unwrap();
            issued.write(folder.path(), name).unwrap();
        }
        replace(&folder.path().join("ca.pem"), authority.pem().as_bytes()).unwrap();
        let revocations = authority.revoke(&[]).unwrap();
        replace(&folder.path().join("crl.pem"), revocations.as_bytes()).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces `{}` by the folder.
    fn parse(&self, arguments: &[&str]) -> Result<ServerConfig, String> {
        let folder = self.0.path().display().to_string();
        let arguments: Vec<String> = arguments.iter().map(|text| text.replace("{}", &folder)).collect();
        match parse(&arguments, &BTreeMap::new()) {
            Ok(Invocation::Run(config)) => Ok(*config),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    fn protected(&self, arguments: &[&str]) -> Result<ServerConfig, String> {
        let pair = ["--cert-file={}/server.pem", "--key-file={}/server.key"];
        self.parse(&[PROTECTED_CLIENT, &pair, arguments].concat())
    }
}

#[test]
fn the_flags_of_clients_have_etcds_meaning() {
    let files = Files::new();
    let config = files.protected(&[]).unwrap();
    let tls = config.client_tls.unwrap();
    assert_eq!(config.listen_client[0].to_string(), "https://127.0.0.1:1");
    assert_eq!(
        tls.identity,
        Some(Identity::Files(CertificateFiles {
            certificate: files.path("server.pem"),
            key: files.path("server.key"),
        }))
    );
    assert!(!tls.requires_certificate && !tls.names_callers && !tls.checks_address && !tls.dials);
    assert_eq!(tls.minimum_version, TlsVersion::Tls12);
    assert_eq!(tls.maximum_version, TlsVersion::Tls13);
    assert_eq!(config.peer_tls, None);
    assert_eq!(config.warnings, [] as [&str; 0]);

    let tls = files
        .protected(&["--trusted-ca-file={}/ca.pem"])
        .unwrap()
        .client_tls
        .unwrap();
    assert!(tls.requires_certificate, "as in etcd, without --client-cert-auth");
    assert!(!tls.names_callers);

    let tls = files
        .protected(&[
            "--client-cert-auth",
            "--trusted-ca-file={}/ca.pem",
            "--client-crl-file={}/crl.pem",
            "--client-cert-allowed-hostname=a.example.com, b.example.com",
            "--tls-min-version=TLS1.3",
        ])
        .unwrap()
        .client_tls
        .unwrap();
    assert!(tls.requires_certificate && tls.names_callers);
    assert_eq!(tls.revocations, Some(files.path("crl.pem")));
    assert_eq!(
        tls.allowed,
        AllowedNames::Hosts(vec!["a.example.com".to_owned(), "b.example.com".to_owned()])
    );
    assert_eq!(tls.minimum_version, TlsVersion::Tls13);
}

#[test]
fn the_flags_of_peers_have_etcds_meaning() {
    let files = Files::new();
    let addresses = [
        "--listen-peer-urls=https://127.0.0.1:2",
        "--initial-advertise-peer-urls=https://127.0.0.1:2",
        "--initial-cluster=default=https://127.0.0.1:2",
        "--peer-cert-file={}/peer.pem",
        "--peer-key-file={}/peer.key",
        "--peer-client-cert-file={}/other.pem",
        "--peer-client-key-file={}/other.key",
        "--peer-trusted-ca-file={}/ca.pem",
        "--peer-client-cert-auth",
        "--peer-cert-allowed-cn=peer,other",
    ];
    let tls = files.parse(&addresses).unwrap().peer_tls.unwrap();
    assert_eq!(tls.side, Side::Peer);
    assert!(tls.requires_certificate && tls.checks_address && tls.dials);
    assert!(!tls.names_callers && !tls.trusts_any_server);
    assert_eq!(
        tls.dialling_identity.map(|files| files.certificate),
        Some(files.path("other.pem"))
    );
    assert_eq!(
        tls.allowed,
        AllowedNames::CommonNames(vec!["peer".to_owned(), "other".to_owned()])
    );
    let skip = [&addresses[..], &["--peer-skip-client-san-verification"]].concat();
    assert!(!files.parse(&skip).unwrap().peer_tls.unwrap().checks_address);
}

#[test]
fn self_signed_certificates_are_for_addresses_with_tls_that_have_no_other() {
    let files = Files::new();
    let config = files
        .parse(
            &[
                PROTECTED_CLIENT,
                &[
                    "--data-dir={}/data",
                    "--auto-tls",
                    "--self-signed-cert-validity=2",
                    "--listen-metrics-urls=https://[::1]:3",
                    "--peer-auto-tls",
                ],
            ]
            .concat(),
        )
        .unwrap();
    assert_eq!(
        config.client_tls.unwrap().identity,
        Some(Identity::SelfSigned(SelfSigned {
            folder: files.path("data/fixtures/client"),
            hosts: vec!["127.0.0.1".to_owned(), "::1".to_owned()],
            validity_days: 730,
            side: Side::Client,
        }))
    );
    assert!(!files.path("data").exists(), "nothing is written yet");
    assert_eq!(config.peer_tls, None);
    assert!(
        config.warnings.join("\n").contains("--peer-auto-tls: "),
        "{:?}",
        config.warnings
    );

    let config = files.protected(&["--auto-tls"]).unwrap();
    assert!(
        config
            .warnings
            .join("\n")
            .contains("there is a certificate in a file")
    );
    assert!(matches!(
        config.client_tls.unwrap().identity,
        Some(Identity::Files(_))
    ));
}

#[test]
fn certificates_without_an_address_that_uses_them_are_a_warning_as_in_etcd() {
    let files = Files::new();
    let config = files
        .parse(&[
            "--cert-file=/nowhere/a.pem",
            "--key-file=/nowhere/a.key",
            "--client-cert-auth",
        ])
        .unwrap();
    assert_eq!(config.client_tls, None);
    let warnings = config.warnings.join("\n");
    assert!(
        warnings.contains("--cert-file: http://localhost:2379 is listened on without TLS"),
        "{warnings}"
    );
    assert!(warnings.contains("--client-cert-auth: "), "{warnings}");
}

#[test]
fn the_sections_of_etcds_file_are_read() {
    let files = Files::new();
    let path = files.path("etcd.yaml");
    let folder = files.0.path().display();
    fs::write(
        &path,
        format!(
            "listen-client-urls: https://127.0.0.1:1\nadvertise-client-urls: https://127.0.0.1:1\n\
             listen-peer-urls: https://127.0.0.1:2\ninitial-advertise-peer-urls: https://127.0.0.1:2\n\
             initial-cluster: default=https://127.0.0.1:2\n\
             client-transport-security:\n  cert-file: {folder}/server.pem\n  key-file: {folder}/server.key\n  \
             client-cert-auth: true\n  trusted-ca-file: {folder}/ca.pem\n  auto-tls: false\n  \
             skip-client-san-verification: false\n\
             peer-transport-security:\n  cert-file: {folder}/peer.pem\n  key-file: {folder}/peer.key\n  \
             client-cert-auth: true\n  trusted-ca-file: {folder}/ca.pem\n  allowed-cn: [peer, other]\n  \
             skip-client-san-verification: true\ntls-min-version: TLS1.3\n"
        ),
    )
    .unwrap();
    let config = files.parse(&["--config-file={}/etcd.yaml"]).unwrap();
    let (client, peer) = (config.client_tls.unwrap(), config.peer_tls.unwrap());
    assert!(client.requires_certificate && client.names_callers);
    assert!(peer.requires_certificate && !peer.checks_address);
    assert_eq!(
        peer.allowed,
        AllowedNames::CommonNames(vec!["peer".to_owned(), "other".to_owned()])
    );
    assert_eq!(peer.minimum_version, TlsVersion::Tls13);

    fs::write(
        &path,
        "listen-client-urls: https://127.0.0.1:1\nadvertise-client-urls: https://127.0.0.1:1\n\
         client-transport-security: {cert-file: /nowhere/a.pem, key-file: /nowhere/a.key}\n",
    )
    .unwrap();
    let error = files.parse(&["--config-file={}/etcd.yaml"]).unwrap_err();
    assert!(
        error.contains("--cert-file (client-transport-security: cert-file in "),
        "{error}"
    );
}

#[test]
fn each_error_names_the_flag_the_value_and_the_mend() {
    let files = Files::new();
    for (arguments, parts) in [
        (
            &["--trusted-ca-file=/nowhere/ca.pem"][..],
            &["--trusted-ca-file is \"/nowhere/ca.pem\"", "check the path"][..],
        ),
        (
            &["--key-file={}/other.key"],
            &["--key-file is", "is not the key of the certificate in"],
        ),
        (&["--key-file="], &["--cert-file is", "give --key-file as well"]),
        (&["--cert-file="], &["--key-file is", "give --cert-file as well"]),
        (
            &["--peer-client-cert-file=a.pem"],
            &[
                "--peer-client-cert-file is",
                "give --peer-client-key-file as well",
            ],
        ),
        (
            &["--client-cert-auth=perhaps"],
            &["--client-cert-auth is \"perhaps\"", "write true or false"],
        ),
        (
            &["--client-crl-file={}/ca.pem"],
            &["--client-crl-file is", "has no revocation list"],
        ),
        (
            &["--tls-min-version=TLS1.1"],
            &["--tls-min-version is \"TLS1.1\"", "TLS1.2 or TLS1.3"],
        ),
        (
            &["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
            &["--tls-max-version is \"TLS1.2\"", "which is newer"],
        ),
        (
            &["--cipher-suites=NONSENSE"],
            &["--cipher-suites is \"NONSENSE\"", "is no cipher suite"],
        ),
        (
            &[
                "--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                "--tls-min-version=TLS1.3",
            ],
            &["cannot be chosen"],
        ),
        (
            &["--client-cert-allowed-hostname=a", "--client-cert-allowed-cn=b"],
            &["exclude each other"],
        ),
        (
            &[
                "--listen-peer-urls=https://127.0.0.1:2",
                "--peer-auto-tls",
                "--peer-client-cert-auth",
            ],
            &["leave out --peer-client-cert-auth and --peer-trusted-ca-file"],
        ),
        (
            &["--client-cert-allowed-hostname=a,,b"],
            &["a name in it is empty"],
        ),
        (
            &["--cert-file=", "--key-file="],
            &["there is no certificate: give --cert-file and --key-file, or --auto-tls"],
        ),
        (
            &[
                "--cert-file=",
                "--key-file=",
                "--auto-tls",
                "--self-signed-cert-validity=0",
            ],
            &["--self-signed-cert-validity is \"0\"", "from 1 to 100"],
        ),
    ] {
        let error = files.protected(arguments).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{arguments:?}: {error}");
        }
    }
}

#[test]
fn weak_cipher_suites_are_left_out_with_a_warning() {
    let files = Files::new();
    let config = files
        .protected(&["--cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_128_CBC_SHA"])
        .unwrap();
    assert_eq!(
        config.warnings,
        ["--cipher-suites: TLS_RSA_WITH_AES_128_CBC_SHA are left out, since they are weak"]
    );
}
