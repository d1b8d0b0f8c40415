//! Clients of Vault that nobody here wrote, against Stead. There is no Vault to compare with: their programs, and the tests
//! that come with them, know what they expect.

mod golang;
mod grpc;
mod python;
