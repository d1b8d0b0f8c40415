//! Records of services.
#![no_main]

stead_fuzz::target!(
    stead::service::fuzzing::services,
    stead::service::fuzzing::service_seeds
);
