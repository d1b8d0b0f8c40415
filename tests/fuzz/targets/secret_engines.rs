//! Requests to engines of the secret store, and what they stored.
#![no_main]

stead_fuzz::target!(
    stead::service::fuzzing::secret_engines,
    stead::service::fuzzing::secret_engine_seeds
);
