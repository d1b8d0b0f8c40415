//! The secret store on a node with a real disk.

mod audit;
mod engines;
mod passwords;
mod support;
mod tokens;
