//! What clients send before and between headers of HTTP/2.
#![no_main]

stead_fuzz::target!(
    stead::transport::fuzzing::authority,
    stead::transport::fuzzing::authority_seeds
);
