//! What people write for the commands, and exports of keys.
#![no_main]

stead_fuzz::target!(stead::cli::fuzzing::cli, stead::cli::fuzzing::cli_seeds);
