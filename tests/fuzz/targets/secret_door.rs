//! Requests on Vault's interface.
#![no_main]

stead_fuzz::target!(
    stead::transport::fuzzing::secret_door,
    stead::transport::fuzzing::secret_door_seeds
);
