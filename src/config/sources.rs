//! Collects values from the command line, the environment or a YAML file, and remembers where each came from.
//!
//! The command line wins over the environment, and there `STEAD_` over `ETCD_`. A configuration file replaces both, as
//! in etcd. Values are not interpreted in here.

use std::collections::BTreeMap;
use std::fs;

use serde_yaml_ng::Value;

use super::error::ConfigError;
use super::flags::{self, Flag, Kind, Treatment};

/// Largest configuration file that is read.
const MAXIMUM_FILE_BYTES: u64 = 1024 * 1024;

/// The sections of the file for TLS.
const CLIENT_SECTION: &str = "client-transport-security";
const PEER_SECTION: &str = "peer-transport-security";

/// The other programs that etcd's binary is.
const PROXIES: [&str; 2] = ["gateway", "grpc-proxy"];

/// Variables of Stead's that are no flag of the server.
const OTHER_VARIABLES: [&str; 16] = [
    "STEAD_PEER_DIAL_MAP",
    "STEAD_PARENT_PROCESS",
    "STEAD_ENDPOINTS",
    "STEAD_DIAL_TIMEOUT",
    "STEAD_COMMAND_TIMEOUT",
    "STEAD_KEEPALIVE_TIME",
    "STEAD_KEEPALIVE_TIMEOUT",
    "STEAD_OUTPUT",
    "STEAD_USER",
    "STEAD_PASSWORD",
    "STEAD_AUTH_JWT_TOKEN",
    "STEAD_CACERT",
    "STEAD_CERT",
    "STEAD_KEY",
    "STEAD_INSECURE_TRANSPORT",
    "STEAD_INSECURE_SKIP_TLS_VERIFY",
];

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    /// The value.
    pub(super) value: String,
    /// The flag, with its source if that is not the command line.
    pub(super) origin: String,
}

/// What was given, by the name of the flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Values {
    given: BTreeMap<&'static str, Given>,
    /// What the operator should know.
    pub(super) warnings: Vec<String>,
}

/// The command line, apart.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    given: BTreeMap<&'static str, Given>,
    /// Whether help was asked for.
    pub(super) help: bool,
    /// Whether the version was asked for.
    pub(super) version: bool,
}

impl Arguments {
    /// Reads Go's forms: `-name value`, `--name value`, `-name=value`, `--name=value`; a switch takes no separate value.
    ///
    /// # Errors
    /// An unknown flag, a flag without its value, or something that is no flag.
    pub(super) fn parse(arguments: &[String]) -> Result<Self, ConfigError> {
        let mut parsed = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(body) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
                return Err(if PROXIES.contains(&argument.as_str()) {
                    ConfigError::NoProxy {
                        proxy: argument.clone(),
                    }
                } else {
                    ConfigError::UnexpectedArgument {
                        argument: argument.clone(),
                    }
                });
            };
            let (name, value) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            match name {
                "help" | "h" => parsed.help = true,
                "version" => parsed.version = value.is_none_or(|value| value != "false"),
                _ => {
                    let flag = flags::find(name).ok_or_else(|| ConfigError::UnknownFlag {
                        flag: argument.clone(),
                    })?;
                    let value = match value {
                        Some(value) => value,
                        None if flag.kind == Kind::Switch => "true".to_owned(),
                        None => rest.next().cloned().ok_or_else(|| ConfigError::MissingValue {
                            flag: argument.clone(),
                        })?,
                    };
                    let origin = format!("--{}", flag.name);
                    parsed.given.insert(flag.name, Given { value, origin });
                }
            }
        }
        Ok(parsed)
    }
}

/// The settings in the environment: those of Stead's names and of etcd's. Empty means not given.
fn from_environment(
    environment: &BTreeMap<String, String>,
    warnings: &mut Vec<String>,
) -> BTreeMap<&'static str, Given> {
    let mut given = BTreeMap::new();
    for prefix in ["ETCD_", "STEAD_"] {
        for (variable, value) in environment {
            let Some(name) = variable.strip_prefix(prefix).filter(|_| !value.is_empty()) else {
                continue;
            };
            if OTHER_VARIABLES.contains(&variable.as_str()) {
                continue;
            }
            let Some(flag) = flags::find(&name.to_ascii_lowercase().replace('_', "-")) else {
                warnings.push(format!(
                    "the environment variable {variable} is ignored: it is no setting of the server"
                ));
                continue;
            };
            let origin = format!("--{} (from {variable})", flag.name);
            let value = value.clone();
            given.insert(flag.name, Given { value, origin });
        }
    }
    given
}

impl Values {
    /// Merges the sources and looks at what is ignored and refused.
    ///
    /// # Errors
    /// The file cannot be read or has a key that is no flag, or a value is refused.
    pub(super) fn collect(
        arguments: Arguments,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let mut values = Self::default();
        let mut environment_warnings = Vec::new();
        let mut given = from_environment(environment, &mut environment_warnings);
        given.extend(arguments.given);
        let file = given.remove("config-file").filter(|file| !file.value.is_empty());
        if let Some(Given { value: path, .. }) = file {
            values.warnings.extend(given.values().map(|ignored| {
                format!(
                    "{} is ignored, since --config-file {path} is given",
                    ignored.origin
                )
            }));
            values.given = from_file(&path)?;
        } else {
            values.warnings = environment_warnings;
            values.given = given;
        }
        values.check_treatment()?;
        Ok(values)
    }

    fn check_treatment(&mut self) -> Result<(), ConfigError> {
        for (name, given) in &self.given {
            let Some(flag) = flags::find(name) else {
                continue;
            };
            match flag.treatment {
                Treatment::Used => {}
                Treatment::Ignored(reason) => self
                    .warnings
                    .push(format!("{} has no effect: {reason}", given.origin)),
                Treatment::Refused(reason) => {
                    let asks_for_nothing = given.value.is_empty()
                        || given.value == flag.default
                        || (flag.kind == Kind::Switch && super::parse_switch(&given.value) == Some(false));
                    if !asks_for_nothing {
                        return Err(ConfigError::Unsupported {
                            origin: given.origin.clone(),
                            value: given.value.clone(),
                            reason: reason.to_owned(),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// What was given for a flag, or its default.
    pub(super) fn get(&self, name: &'static str) -> Given {
        self.given.get(name).cloned().unwrap_or_else(|| Given {
            value: flags::find(name).map_or_else(String::new, |flag| flag.default.to_owned()),
            origin: format!("--{name}"),
        })
    }

    /// Whether a flag was given and asks for something.
    pub(super) fn asks_for(&self, name: &str) -> bool {
        self.is_given(name)
            && self
                .given
                .get(name)
                .is_some_and(|given| super::parse_switch(&given.value) != Some(false))
    }

    /// Whether a flag was given, by whatever source, and not empty.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|given| !given.value.is_empty())
    }
}

fn from_file(path: &str) -> Result<BTreeMap<&'static str, Given>, ConfigError> {
    let error = |reason: String| ConfigError::File {
        path: path.to_owned(),
        reason,
    };
    let size = fs::metadata(path)
        .map_err(|cause| {
            error(format!(
                "cannot be read: {cause}; check the path and its permissions"
            ))
        })?
        .len();
    if size > MAXIMUM_FILE_BYTES {
        return Err(error(format!(
            "has {size} bytes; a configuration has at most {MAXIMUM_FILE_BYTES}"
        )));
    }
    let text = fs::read_to_string(path).map_err(|cause| {
        error(format!(
            "cannot be read: {cause}; check the path and its permissions"
        ))
    })?;
    let document: Value =
        serde_yaml_ng::from_str(&text).map_err(|cause| error(format!("is no valid YAML: {cause}")))?;
    let settings = match document {
        Value::Null => return Ok(BTreeMap::new()),
        Value::Mapping(settings) => settings,
        _ => return Err(error("must hold one `name: value` on each line".to_owned())),
    };
    let mut given = BTreeMap::new();
    for (key, value) in settings {
        let Value::String(key) = key else {
            return Err(error(format!("has the key {key:?}; keys are names of flags")));
        };
        if key == CLIENT_SECTION || key == PEER_SECTION {
            read_section(path, &key, value, &mut given)?;
            continue;
        }
        let flag = flags::find(&key)
            .filter(|flag| flag.name != "config-file")
            .ok_or_else(|| {
                error(format!(
                    "has the unknown key {key:?}; `stead server --help` lists all names"
                ))
            })?;
        if value.is_null() {
            continue;
        }
        let value = scalar(flag, value).ok_or_else(|| {
            error(format!(
                "has a nested value for {key:?}; write one value or a list of them"
            ))
        })?;
        let origin = format!("--{} (from {path})", flag.name);
        given.insert(flag.name, Given { value, origin });
    }
    Ok(given)
}

/// The text of a value as the flag would have it.
fn scalar(flag: &Flag, value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) if flag.kind == Kind::Duration && number.as_u64() != Some(0) => {
            Some(format!("{number}ns"))
        }
        Value::Number(number) => Some(number.to_string()),
        Value::Sequence(values) => {
            let values: Option<Vec<String>> = values.into_iter().map(|value| scalar(flag, value)).collect();
            Some(values?.join(","))
        }
        _ => None,
    }
}

/// The flag that a key of etcd's two sections for TLS stands for.
fn flag_of_section(section: &str, key: &str) -> Option<&'static str> {
    let [client, peer] = match key {
        "cert-file" => ["cert-file", "peer-cert-file"],
        "key-file" => ["key-file", "peer-key-file"],
        "client-cert-file" => ["client-cert-file", "peer-client-cert-file"],
        "client-key-file" => ["client-key-file", "peer-client-key-file"],
        "client-cert-auth" => ["client-cert-auth", "peer-client-cert-auth"],
        "trusted-ca-file" => ["trusted-ca-file", "peer-trusted-ca-file"],
        "auto-tls" => ["auto-tls", "peer-auto-tls"],
        "allowed-cn" => ["client-cert-allowed-cn", "peer-cert-allowed-cn"],
        "allowed-hostname" => ["client-cert-allowed-hostname", "peer-cert-allowed-hostname"],
        // The addresses of clients are never looked at: skipping that asks for nothing.
        "skip-client-san-verification" if section == PEER_SECTION => {
            return Some("peer-skip-client-san-verification");
        }
        _ => return None,
    };
    Some(if section == PEER_SECTION { peer } else { client })
}

/// Reads one of these sections.
fn read_section(
    path: &str,
    section: &str,
    value: Value,
    given: &mut BTreeMap<&'static str, Given>,
) -> Result<(), ConfigError> {
    let error = |reason: String| ConfigError::File {
        path: path.to_owned(),
        reason,
    };
    let settings = match value {
        Value::Null => return Ok(()),
        Value::Mapping(settings) => settings,
        _ => return Err(error(format!("must hold `name: value` lines below {section:?}"))),
    };
    for (key, value) in settings {
        let key = key.as_str().unwrap_or("?");
        if key == "skip-client-san-verification" && section != PEER_SECTION {
            continue;
        }
        let flag = flag_of_section(section, key).and_then(flags::find).ok_or_else(|| {
            error(format!(
                "has the unknown key {key:?} in {section:?}; it may hold cert-file, key-file, client-cert-file, \
                 client-key-file, client-cert-auth, trusted-ca-file, auto-tls, allowed-cn, allowed-hostname and \
                 skip-client-san-verification"
            ))
        })?;
        if value.is_null() {
            continue;
        }
        let value = scalar(flag, value).ok_or_else(|| {
            error(format!(
                "has a nested value for {key:?} in {section:?}; write one value"
            ))
        })?;
        let origin = format!("--{} ({section}: {key} in {path})", flag.name);
        given.insert(flag.name, Given { value, origin });
    }
    Ok(())
}
