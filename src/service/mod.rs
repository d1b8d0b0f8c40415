//! One pipeline for every request: validate, admit, propose or read, reply.
//!
//! Never knows a wire format.

pub mod watch;
