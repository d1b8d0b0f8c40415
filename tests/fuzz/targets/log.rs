//! Entries of the log, votes, memberships, and the identity of a data folder.
#![no_main]

stead_fuzz::target!(
    stead::replication::fuzzing::log,
    stead::replication::fuzzing::log_seeds
);
