//! Stead from outside, as a black box, beside a real etcd: real processes on loopback, real clients, real signals.
//!
//! Run `tests/clients/setup.sh` once: it installs the etcd and the clients that these tests need.

mod clients;
mod e2e;
mod etcd;
mod support;
