//! Front doors: gRPC and HTTP. Translation only; never decides anything.
