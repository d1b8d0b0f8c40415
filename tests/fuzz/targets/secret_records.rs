//! Records of the secret store, shares and audit files.
#![no_main]

stead_fuzz::target!(
    stead::service::fuzzing::secret_records,
    stead::service::fuzzing::secret_record_seeds
);
