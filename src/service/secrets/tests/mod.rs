//! The secret store on a node with a real disk.

mod support;
mod tokens;
