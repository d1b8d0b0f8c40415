//! Whole clusters through what happens to them: signals, deaths under load, bad input, damaged folders, and the data
//! of a Kubernetes control plane.

pub mod auth;
pub mod consul;
mod contests;
mod corruption;
mod data_folder;
mod drop_in;
mod durability;
mod flags;
mod full_database;
mod full_disk;
mod garbage;
mod gateway;
mod http;
mod kubernetes;
mod leader_loss;
mod lease_time;
mod lifecycle;
mod long_log;
mod members;
mod metrics;
mod mirror;
mod operators;
mod probes;
mod readme;
mod reflection;
mod service_checks;
mod service_command;
mod service_load;
mod services;
mod slow_follower;
mod snapshots;
pub mod tls;
mod transfer;
mod watcher;
mod writers;
