//! Tokens and the files of their keys.
#![no_main]

stead_fuzz::target!(
    stead::service::fuzzing::tokens,
    stead::service::fuzzing::token_seeds
);
