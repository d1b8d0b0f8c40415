//! The secret store on a node with a real disk.

mod audit;
mod engines;
mod seals;
mod support;
mod tokens;
