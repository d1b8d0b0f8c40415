//! The gRPC front door: etcd's services on the client port. Translation only.

pub mod watch;
