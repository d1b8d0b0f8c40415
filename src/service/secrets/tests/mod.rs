//! The secret store on a node with a real disk.

mod audit;
mod engines;
mod passwords;
mod quotas;
mod seals;
mod support;
mod system;
mod tokens;
