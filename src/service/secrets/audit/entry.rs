//! What is recorded of a request and of its answer, before anything of it is hashed.
//!
//! The structs borrow: they live as long as it takes to write the records of one request. Never shown in `Debug`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::service::secrets::engine::{Data, Raw};
use crate::service::secrets::parameters::Body;
use crate::service::secrets::policy::Operation;

/// A record: of a request before it is worked on, or, with [`Entry::reply`], of the answer before it leaves.
#[derive(Clone, Copy)]
pub struct Entry<'entry> {
    /// The time since 1970.
    pub time: Duration,
    /// Whose token came with the request; none: it came without one.
    pub auth: Option<&'entry Auth<'entry>>,
    /// The request.
    pub request: &'entry Request<'entry>,
    /// The answer; none: there is none yet.
    pub reply: Option<&'entry Reply<'entry>>,
    /// Why the request was refused. Shown as it is: it must hold no secret. Empty: it was not.
    pub error: &'entry str,
}

/// A token, or what a login gives.
#[derive(Default)]
pub struct Auth<'entry> {
    /// The token. Hashed.
    pub client_token: &'entry str,
    /// Its accessor. Hashed, unless the device says otherwise.
    pub accessor: &'entry str,
    /// The name of who has it.
    pub display_name: &'entry str,
    /// All its policies.
    pub policies: &'entry [String],
    /// Those that the token itself has.
    pub token_policies: &'entry [String],
    /// Those that its entity has.
    pub identity_policies: &'entry [String],
    /// Whether the policies allow the request; none: nobody asked.
    pub is_allowed: Option<bool>,
    /// Whether `default` was left out.
    pub no_default_policy: bool,
    /// What is said of who has it.
    pub metadata: Option<&'entry BTreeMap<String, String>>,
    /// Its entity.
    pub entity_id: &'entry str,
    /// `service` or `batch`.
    pub token_type: &'entry str,
    /// How long it lasts when it is made or renewed.
    pub token_ttl: Duration,
    /// When it was made, since 1970.
    pub token_issued: Option<Duration>,
    /// How often it may still be used; zero: as often as anybody likes.
    pub uses: u64,
}

/// A request.
pub struct Request<'entry> {
    /// Its id, which its answer bears too.
    pub id: &'entry str,
    /// Who counts as its client.
    pub client_id: &'entry str,
    /// What is to be done.
    pub operation: Operation,
    /// What it is for; none: nothing is mounted there.
    pub mount: Option<Mounted<'entry>>,
    /// The token that came with it. Hashed.
    pub client_token: &'entry str,
    /// The accessor of that. Hashed, unless the device says otherwise.
    pub client_token_accessor: &'entry str,
    /// Its path, with that of the mount.
    pub path: &'entry str,
    /// Its parameters: every text in them is hashed.
    pub data: Fields<'entry>,
    /// Where it comes from: the address; empty: a Unix socket.
    pub remote_address: &'entry str,
    /// The port there.
    pub remote_port: u16,
    /// The headers that are to be recorded.
    pub headers: &'entry [Header<'entry>],
    /// How long its answer is to be wrapped.
    pub wrap_ttl: Option<Duration>,
    /// Whether it asks that soft policies are passed over.
    pub policy_override: bool,
    /// The serial number of the client's certificate.
    pub client_certificate_serial_number: &'entry str,
}

/// What a request is for.
#[derive(Clone, Copy)]
pub struct Mounted<'entry> {
    /// Where it is mounted, with a slash at its end.
    pub point: &'entry str,
    /// Which engine.
    pub kind: &'entry str,
    /// What names it where its path may change.
    pub accessor: &'entry str,
    /// Whether it is for logins.
    pub is_auth: bool,
    /// Fields of requests that are shown as they are ([`crate::service::secrets::engine::Tuning`]).
    pub plain_request_keys: &'entry [String],
    /// Fields of answers that are shown as they are.
    pub plain_response_keys: &'entry [String],
}

/// A header of a request.
pub struct Header<'entry> {
    /// Its name.
    pub name: &'entry str,
    /// What it says, once or more often.
    pub values: &'entry [String],
    /// Whether that is hashed.
    pub is_hashed: bool,
}

/// An answer.
#[derive(Default)]
pub struct Reply<'entry> {
    /// The token that it gives.
    pub auth: Option<&'entry Auth<'entry>>,
    /// The lease of what it tells.
    pub lease_id: &'entry str,
    /// What it tells: every text in it is hashed.
    pub data: Fields<'entry>,
    /// The status that comes with bytes that are no JSON, [`Fields::Raw`].
    pub status: u16,
    /// What it warns of. Shown as it is.
    pub warnings: &'entry [String],
    /// Where what it tells is kept for whoever has the token for it.
    pub wrap: Option<Wrap<'entry>>,
}

/// Where an answer is kept.
#[derive(Clone, Copy)]
pub struct Wrap<'entry> {
    /// The token that gets it. Hashed.
    pub token: &'entry str,
    /// Its accessor. Hashed, unless the device says otherwise.
    pub accessor: &'entry str,
    /// How long it is kept.
    pub ttl: Duration,
    /// Since when, since 1970.
    pub created: Duration,
    /// The path of the request.
    pub creation_path: &'entry str,
    /// The accessor of the token that is kept. Hashed, unless the device says otherwise.
    pub wrapped_accessor: &'entry str,
}

/// Fields by name, in whatever they are held.
#[derive(Clone, Copy, Default)]
pub enum Fields<'entry> {
    /// None.
    #[default]
    Nothing,
    /// Those of a request.
    Body(&'entry Body),
    /// Those of an engine's answer.
    Data(&'entry Data),
    /// Others.
    Map(&'entry Map<String, Value>),
    /// No fields but bytes that are the whole answer.
    Raw(&'entry Raw),
}
