//! Roles: what tokens may be made by whoever may write below `auth/token/create/<role>`.
//!
//! Never gives the root policy by its lists. A role without lists says nothing of policies: what its tokens have is decided
//! as without a role.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::paths::complete;
use crate::service::secrets::engine::storage::{decode, encode};
use crate::service::secrets::engine::{Data, Fault, TokenKind};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::parameters::{integer, list, span, switch};
use crate::service::secrets::policy::{self, Operation};
use crate::service::secrets::request::Response;
use crate::service::secrets::store::Draft;
use crate::service::secrets::work::Work;

const DIRECTORY: &str = "role";

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Role {
    /// Its name.
    pub name: String,
    allowed_policies: Vec<String>,
    disallowed_policies: Vec<String>,
    allowed_policies_glob: Vec<String>,
    disallowed_policies_glob: Vec<String>,
    /// Whether its tokens have no parent.
    pub is_orphan: bool,
    /// Whether its tokens can be renewed.
    pub is_renewable: bool,
    /// What the path of its tokens ends with.
    pub path_suffix: String,
    /// The period of its tokens; zero: none.
    pub period: Duration,
    /// How long its tokens last at most; zero: no such limit.
    pub explicit_max_ttl: Duration,
    /// Whether its tokens go without `default`.
    pub no_default_policy: bool,
    /// From where its tokens may be used.
    pub bound_cidrs: Vec<IpNet>,
    /// How often; 0: as often as anybody likes.
    pub uses: u64,
    /// Whether they are stored; none: as who makes them says.
    pub kind: Option<TokenKind>,
}

/// The role of a name.
///
/// # Errors
/// It cannot be read.
pub fn read(draft: &mut Draft, name: &str) -> Result<Option<Role>, Fault> {
    let name = draft.name(&path(name)?)?;
    let record = draft.get(&name)?;
    record.map(|record| decode(record.expose())).transpose()
}

fn path(name: &str) -> Result<String, Fault> {
    if name.is_empty() || name.contains('/') {
        return Err(Fault::Invalid("missing role name".to_owned()));
    }
    Ok(format!("{DIRECTORY}/{name}"))
}

/// Serves a path below `auth/token/roles/`.
///
/// # Errors
/// What the client is told.
pub fn handle(work: &mut Work, operation: Operation, name: &str) -> Result<Response, SecretsError> {
    match operation {
        Operation::List => {
            let directory = work.draft().name(DIRECTORY)?;
            Ok(Response::list(work.draft().list(&directory)?)?)
        }
        Operation::Read => match read(work.draft(), name)? {
            Some(role) => Ok(Response::data(role.shown()?)),
            None => Err(Fault::Missing.into()),
        },
        Operation::Create | Operation::Update => {
            let mut role = read(work.draft(), name)?.unwrap_or_else(|| Role {
                name: name.to_owned(),
                is_renewable: true,
                ..Role::default()
            });
            role.update(work)?;
            let path = work.draft().name(&path(name)?)?;
            work.draft().put(&path, encode(&role)?, None);
            Ok(Response::default())
        }
        Operation::Delete => {
            let path = work.draft().name(&path(name)?)?;
            work.draft().delete(&path)?;
            Ok(Response::default())
        }
        _ => Err(Fault::Unsupported.into()),
    }
}

impl Role {
    fn update(&mut self, work: &Work) -> Result<(), Fault> {
        let names = |names: Vec<String>| -> Result<Vec<String>, Fault> {
            Ok(names
                .iter()
                .map(|name| policy::name(name))
                .collect::<Result<_, _>>()?)
        };
        // As names are: in lower case.
        let globs = |globs: Vec<String>| globs.iter().map(|glob| glob.to_lowercase()).collect::<Vec<_>>();
        if let Some(given) = work.field("allowed_policies", list)? {
            self.allowed_policies = names(given)?;
        }
        if let Some(given) = work.field("disallowed_policies", list)? {
            self.disallowed_policies = names(given)?;
        }
        if let Some(given) = work.field("allowed_policies_glob", list)? {
            self.allowed_policies_glob = globs(given);
        }
        if let Some(given) = work.field("disallowed_policies_glob", list)? {
            self.disallowed_policies_glob = globs(given);
        }
        if let Some(given) = work.field("orphan", switch)? {
            self.is_orphan = given;
        }
        if let Some(given) = work.field("renewable", switch)? {
            self.is_renewable = given;
        }
        if let Some(given) = work.text("path_suffix")? {
            if given.contains("..") || given.starts_with('/') {
                return Err(Fault::Invalid(format!("invalid path_suffix {given:?}")));
            }
            self.path_suffix = given;
        }
        for name in ["period", "token_period"] {
            if let Some(given) = work.field(name, span)? {
                self.period = given;
            }
        }
        for name in ["explicit_max_ttl", "token_explicit_max_ttl"] {
            if let Some(given) = work.field(name, span)? {
                self.explicit_max_ttl = given;
            }
        }
        if let Some(given) = work.field("token_no_default_policy", switch)? {
            self.no_default_policy = given;
        }
        for name in ["bound_cidrs", "token_bound_cidrs"] {
            if let Some(given) = work.field(name, list)? {
                self.bound_cidrs = given.iter().map(|text| cidr(text)).collect::<Result<_, _>>()?;
            }
        }
        if let Some(given) = work.field("token_num_uses", integer)? {
            self.uses = u64::try_from(given)
                .map_err(|_| Fault::Invalid("'token_num_uses' cannot be negative".to_owned()))?;
        }
        if let Some(given) = work.text("token_type")? {
            self.kind = match given.as_str() {
                "" | "default" | "default-service" | "default-batch" => None,
                "service" => Some(TokenKind::Service),
                "batch" => Some(TokenKind::Batch),
                other => return Err(Fault::Invalid(format!("invalid 'token_type' value {other:?}"))),
            };
        }
        if self.kind == Some(TokenKind::Batch) && (!self.is_orphan && self.is_renewable) {
            self.is_renewable = false;
        }
        Ok(())
    }

    fn shown(&self) -> Result<Data, Fault> {
        let kind = match self.kind {
            None => "default-service",
            Some(TokenKind::Service) => "service",
            Some(TokenKind::Batch) => "batch",
        };
        Data::new()
            .with("name", &self.name)?
            .with("allowed_policies", &self.allowed_policies)?
            .with("disallowed_policies", &self.disallowed_policies)?
            .with("allowed_policies_glob", &self.allowed_policies_glob)?
            .with("disallowed_policies_glob", &self.disallowed_policies_glob)?
            .with("allowed_entity_aliases", &Vec::<String>::new())?
            .with("orphan", &self.is_orphan)?
            .with("renewable", &self.is_renewable)?
            .with("path_suffix", &self.path_suffix)?
            .with("period", &self.period.as_secs())?
            .with("explicit_max_ttl", &self.explicit_max_ttl.as_secs())?
            .with("token_period", &self.period.as_secs())?
            .with("token_explicit_max_ttl", &self.explicit_max_ttl.as_secs())?
            .with("token_no_default_policy", &self.no_default_policy)?
            .with("token_bound_cidrs", &self.bound_cidrs)?
            .with("token_num_uses", &self.uses)?
            .with("token_type", kind)
    }

    /// Whether the role refuses a policy.
    #[must_use]
    pub fn disallows(&self, name: &str) -> bool {
        self.disallowed_policies.iter().any(|other| other == name)
            || self
                .disallowed_policies_glob
                .iter()
                .any(|glob| matches(glob, name))
    }

    fn has_allowed_list(&self) -> bool {
        !self.allowed_policies.is_empty() || !self.allowed_policies_glob.is_empty()
    }

    /// Whether the role says which policies its tokens may have.
    #[must_use]
    pub fn has_any_list(&self) -> bool {
        self.has_allowed_list()
            || !self.disallowed_policies.is_empty()
            || !self.disallowed_policies_glob.is_empty()
    }

    /// What of the wanted policies the tokens of a role with lists have. Where none is wanted: all that are allowed, or of
    /// the `inherited` ones those that are not refused, if the role only refuses. Whoever is given `default` anyway may also
    /// ask for it.
    ///
    /// # Errors
    /// One is not allowed.
    pub fn choose(
        &self,
        names: &mut Vec<String>,
        inherited: Vec<String>,
        adds_default: bool,
    ) -> Result<(), Fault> {
        let has_list = self.has_allowed_list();
        if names.is_empty() && has_list {
            names.clone_from(&self.allowed_policies);
        } else if names.is_empty() {
            *names = inherited;
            names.retain(|name| name != policy::ROOT && !self.disallows(name));
        }
        for name in complete(names.clone(), false) {
            let is_listed = self.allowed_policies.contains(&name)
                || self.allowed_policies_glob.iter().any(|glob| matches(glob, &name))
                || (adds_default && name == policy::DEFAULT)
                || !has_list;
            if name == policy::ROOT || self.disallows(&name) || !is_listed {
                return Err(Fault::Invalid(format!(
                    "token policies must be a subset of those that the role allows: {name:?} is not among them"
                )));
            }
        }
        Ok(())
    }
}

/// Addresses, or one of them.
///
/// # Errors
/// It is neither.
pub fn cidr(text: &str) -> Result<IpNet, Fault> {
    let net = text.parse::<IpNet>().ok();
    net.or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
        .ok_or_else(|| {
            Fault::Invalid(format!(
                "{text:?} is no address and no CIDR block, as 10.0.0.0/8 is one"
            ))
        })
}

/// Whether a name, which is in lower case, is what a glob means, in which `*` stands for anything. Roles of old have globs in
/// any case.
fn matches(glob: &str, name: &str) -> bool {
    let glob = glob.to_lowercase();
    let mut pieces = glob.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}
