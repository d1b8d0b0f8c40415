//! Records and keys of the state.
#![no_main]

stead_fuzz::target!(
    stead::state::fuzzing::records,
    stead::state::fuzzing::record_seeds
);
