//! Paths and bodies of requests to the secret store.
#![no_main]

stead_fuzz::target!(
    stead::service::fuzzing::secret_requests,
    stead::service::fuzzing::secret_request_seeds
);
