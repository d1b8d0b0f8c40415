//! Object identifiers of keys, signatures, names and uses.
//!
//! Never anything but numbers.

use x509_cert::der::asn1::ObjectIdentifier as Oid;

/// RSA, as the algorithm of a public key.
pub const RSA: Oid = Oid::new_unwrap("1.2.840.113549.1.1.1");
/// RSA with SHA-256.
pub const RSA_SHA256: Oid = Oid::new_unwrap("1.2.840.113549.1.1.11");
/// RSA with SHA-384.
pub const RSA_SHA384: Oid = Oid::new_unwrap("1.2.840.113549.1.1.12");
/// RSA with SHA-512.
pub const RSA_SHA512: Oid = Oid::new_unwrap("1.2.840.113549.1.1.13");
/// An elliptic curve, as the algorithm of a public key.
pub const EC: Oid = Oid::new_unwrap("1.2.840.10045.2.1");
/// The curve P-256.
pub const P256: Oid = Oid::new_unwrap("1.2.840.10045.3.1.7");
/// The curve P-384.
pub const P384: Oid = Oid::new_unwrap("1.3.132.0.34");
/// The curve P-521.
pub const P521: Oid = Oid::new_unwrap("1.3.132.0.35");
/// ECDSA with SHA-256.
pub const ECDSA_SHA256: Oid = Oid::new_unwrap("1.2.840.10045.4.3.2");
/// ECDSA with SHA-384.
pub const ECDSA_SHA384: Oid = Oid::new_unwrap("1.2.840.10045.4.3.3");
/// ECDSA with SHA-512.
pub const ECDSA_SHA512: Oid = Oid::new_unwrap("1.2.840.10045.4.3.4");
/// Ed25519, as the algorithm of a public key and of a signature.
pub const ED25519: Oid = Oid::new_unwrap("1.3.101.112");

/// The common name of a subject.
pub const COMMON_NAME: Oid = Oid::new_unwrap("2.5.4.3");
/// The serial number of a subject, which is not that of the certificate.
pub const SERIAL_NUMBER: Oid = Oid::new_unwrap("2.5.4.5");
/// The country of a subject.
pub const COUNTRY: Oid = Oid::new_unwrap("2.5.4.6");
/// The locality of a subject.
pub const LOCALITY: Oid = Oid::new_unwrap("2.5.4.7");
/// The province of a subject.
pub const PROVINCE: Oid = Oid::new_unwrap("2.5.4.8");
/// The street of a subject.
pub const STREET: Oid = Oid::new_unwrap("2.5.4.9");
/// The organization of a subject.
pub const ORGANIZATION: Oid = Oid::new_unwrap("2.5.4.10");
/// The unit of an organization.
pub const UNIT: Oid = Oid::new_unwrap("2.5.4.11");
/// The postal code of a subject.
pub const POSTAL_CODE: Oid = Oid::new_unwrap("2.5.4.17");

/// Other names of the subject.
pub const SUBJECT_ALTERNATIVE_NAME: Oid = Oid::new_unwrap("2.5.29.17");
/// What a key may be used for.
pub const KEY_USAGE: Oid = Oid::new_unwrap("2.5.29.15");
/// What a certificate may be used for.
pub const EXTENDED_KEY_USAGE: Oid = Oid::new_unwrap("2.5.29.37");
/// Policies.
pub const CERTIFICATE_POLICIES: Oid = Oid::new_unwrap("2.5.29.32");
/// Which names an authority may sign.
pub const NAME_CONSTRAINTS: Oid = Oid::new_unwrap("2.5.29.30");
/// Extensions that a request asks for.
pub const EXTENSION_REQUEST: Oid = Oid::new_unwrap("1.2.840.113549.1.9.14");

/// Where the certificate of the issuer is.
pub const ISSUERS: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.48.2");
/// Where somebody answers whether a certificate is revoked.
pub const OCSP: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.48.1");

/// Authentication of servers.
pub const SERVER: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.1");
/// Authentication of clients.
pub const CLIENT: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.2");
/// Signing of code.
pub const CODE: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.3");
/// Protection of mail.
pub const EMAIL: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.4");

/// The uses of certificates that have a name, which is given in lower case.
pub const NAMED_USES: [(&str, Oid); 12] = [
    ("any", Oid::new_unwrap("2.5.29.37.0")),
    ("serverauth", SERVER),
    ("clientauth", CLIENT),
    ("codesigning", CODE),
    ("emailprotection", EMAIL),
    ("ipsecendsystem", Oid::new_unwrap("1.3.6.1.5.5.7.3.5")),
    ("ipsectunnel", Oid::new_unwrap("1.3.6.1.5.5.7.3.6")),
    ("ipsecuser", Oid::new_unwrap("1.3.6.1.5.5.7.3.7")),
    ("timestamping", Oid::new_unwrap("1.3.6.1.5.5.7.3.8")),
    ("ocspsigning", Oid::new_unwrap("1.3.6.1.5.5.7.3.9")),
    (
        "microsoftservergatedcrypto",
        Oid::new_unwrap("1.3.6.1.4.1.311.10.3.3"),
    ),
    (
        "netscapeservergatedcrypto",
        Oid::new_unwrap("2.16.840.1.113730.4.1"),
    ),
];
