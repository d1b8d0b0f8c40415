//! Proposals of the log.
#![no_main]

stead_fuzz::target!(
    stead::state::fuzzing::proposals,
    stead::state::fuzzing::proposal_seeds
);
