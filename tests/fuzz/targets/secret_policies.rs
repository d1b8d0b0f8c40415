//! Policies of the secret store.
#![no_main]

stead_fuzz::target!(
    stead::service::fuzzing::secret_policies,
    stead::service::fuzzing::secret_policy_seeds
);
