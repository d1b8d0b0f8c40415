//! Database files of etcd.
#![no_main]

stead_fuzz::target!(
    stead::service::fuzzing::bbolt,
    stead::service::fuzzing::bbolt_seeds
);
