//! The secret store on a node with a real disk.

mod audit;
mod changes;
mod custody;
mod engines;
mod passwords;
mod quotas;
mod renewals;
mod revoking;
mod seals;
mod spelling;
mod support;
mod system;
mod token_rights;
mod tokens;
