//! Rules of policies on Consul's interface.
#![no_main]

stead_fuzz::target!(
    stead::service::fuzzing::policies,
    stead::service::fuzzing::policy_seeds
);
