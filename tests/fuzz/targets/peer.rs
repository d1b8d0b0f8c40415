//! What members say to each other.
#![no_main]

stead_fuzz::target!(
    stead::replication::fuzzing::peer,
    stead::replication::fuzzing::peer_seeds
);
