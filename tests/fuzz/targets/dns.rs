//! Packets of DNS.
#![no_main]

stead_fuzz::target!(
    stead::transport::dns::fuzzing::packets,
    stead::transport::dns::fuzzing::packet_seeds
);
