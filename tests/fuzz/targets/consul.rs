//! Requests of Consul's interface.
#![no_main]

stead_fuzz::target!(
    stead::transport::fuzzing::consul,
    stead::transport::fuzzing::consul_seeds
);
