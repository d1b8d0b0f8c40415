//! Requests of gRPC.
#![no_main]

stead_fuzz::target!(
    stead::transport::fuzzing::requests,
    stead::transport::fuzzing::request_seeds
);
