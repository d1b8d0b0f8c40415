//! What members ask of the leader.
#![no_main]

stead_fuzz::target!(
    stead::service::fuzzing::leader,
    stead::service::fuzzing::leader_seeds
);
