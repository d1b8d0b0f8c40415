//! Front doors: gRPC and HTTP. Translation only; never decides anything.

pub mod grpc;
