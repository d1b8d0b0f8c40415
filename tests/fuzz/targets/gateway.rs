//! JSON of clients.
#![no_main]

stead_fuzz::target!(
    stead::transport::fuzzing::gateway,
    stead::transport::fuzzing::gateway_seeds
);
