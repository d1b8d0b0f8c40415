//! The secret store on a node with a real disk.

mod audit;
mod engines;
mod passwords;
mod quotas;
mod support;
mod system;
mod tokens;
