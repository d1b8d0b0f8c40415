//! Certificates, lists of revoked ones, and the files of TLS.
#![no_main]

stead_fuzz::target!(
    stead::base::tls::fuzzing::certificates,
    stead::base::tls::fuzzing::certificate_seeds
);
