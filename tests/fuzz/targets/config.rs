//! The configuration of a server.
#![no_main]

stead_fuzz::target!(
    stead::config::fuzzing::config,
    stead::config::fuzzing::config_seeds
);
