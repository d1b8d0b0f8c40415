//! A client of the cluster: of the command line, and of Rust programs that offer and use services.
//!
//! A program opens a [`Client`] with its [`Settings`], and gets the [`Services`] of the cluster. Nothing is asked until
//! something is called; an endpoint that is lost is followed by the next.
//!
//! # Offer a service
//!
//! ```no_run
//! use stead::client::{Instance, Services, Settings};
//!
//! # async fn example() -> Result<(), stead::client::ClientError> {
//! let services = Services::of(Settings::new("127.0.0.1:2379,127.0.0.1:22379").open()?);
//! let registration = services
//!     .register(Instance {
//!         service: "web".into(),
//!         node: "host1".into(),
//!         address: "10.0.0.1".into(),
//!         port: 8080,
//!         ttl_seconds: 10,
//!         ..Instance::default()
//!     })
//!     .await?;
//! // It is kept alive, until it is dropped or:
//! registration.deregister().await
//! # }
//! ```
//!
//! An instance with a time to live that could not be kept alive in time, since no endpoint was reached, is registered anew
//! as soon as one is. One that others deregistered is not: deregistering is final. How a [`Registration`] is, and why it
//! ended, is told by [`Registration::standing`].
//!
//! # Use a service
//!
//! ```no_run
//! use stead::client::{Filter, Picker, Rule, Services, Settings};
//!
//! # async fn example() -> Result<(), stead::client::ClientError> {
//! let services = Services::of(Settings::new("127.0.0.1:2379").open()?);
//! let mut live = services
//!     .watch(Filter {
//!         service: "web".into(),
//!         ..Filter::default()
//!     })
//!     .await?;
//! let picker = Picker::new(Rule::LeastOfTwo);
//! if let Some(picked) = picker.pick(&live.current()) {
//!     let instance = picked.instance();
//!     let (address, port) = (&instance.effective_address, instance.port);
//!     // ... call it; it counts as in use until `picked` is dropped.
//! }
//! let instances = live.changed().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The set is always whole: of one revision, and never a part of it. While the cluster cannot be reached it stays as it is.
//!
//! # Call a gRPC service
//!
//! ```no_run
//! use stead::client::{Rule, Services, Settings};
//! use stead::proto::health::HealthCheckRequest;
//! use stead::proto::health::health_client::HealthClient;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let services = Services::of(Settings::new("127.0.0.1:2379").open()?);
//! let channel = services.balance("greeter", Rule::RoundRobin).await?;
//! // Any client that tonic generates takes the channel.
//! let mut client = HealthClient::new(channel);
//! let answer = client.check(HealthCheckRequest::default()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Knows the wire interface alone, and nothing of how the cluster works. Never repeats a change of which it is not known
//! whether it was made, where making it twice would be another change.

mod balance;
pub(crate) mod changes;
pub(crate) mod endpoints;
mod error;
pub(crate) mod handshake;
mod keeper;
mod live;
pub(crate) mod login;
pub(crate) mod node;
mod pick;
mod registration;
pub(crate) mod secrets;
pub(crate) mod security;
mod services;
mod settings;

pub use crate::proto::registry::{Check, Filter, Instance, Status, TaggedAddress, Weights};
pub use balance::Balanced;
pub use endpoints::Client;
pub(crate) use endpoints::{is_lost, text_of};
pub use error::ClientError;
pub use live::{Instances, LiveSet, Place};
pub use pick::{Picked, Picker, Rule, weight};
pub use registration::{Registration, Standing};
pub use secrets::{SecretChanges, Secrets};
pub use services::Services;
pub use settings::Settings;
