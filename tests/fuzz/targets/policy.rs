//! Policies of the secret store.
#![no_main]

stead_fuzz::target!(
    stead::service::fuzzing::policy,
    stead::service::fuzzing::policy_seeds
);
