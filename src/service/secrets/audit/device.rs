//! What one audit device is: where it writes, and how it shows what it writes.
//!
//! The settings come from whoever has `sudo` on `sys/audit`, over the network, so what they can name is bounded by what the
//! server was started with ([`Allowed`]). Without a directory for audit files a device reaches nothing but what the process
//! has anyway: its standard output, its log, the syslog of the machine, and nothing. A socket is refused then as well, to
//! loopback too: services of this machine trust who comes from there, and what is sent is partly the client's to choose. With
//! a directory, files and Unix sockets have to be in it, and TCP and UDP go to loopback and to the networks that are named.
//!
//! Never opens anything before it is asked to ([`Target::open`]).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Map, Value};

use super::render::Style;
use super::sink::file::{self, Discard, StandardOutput};
use super::sink::log::Log;
use super::sink::socket::{Address, Socket};
use super::sink::syslog::{self, Syslog};
use super::sink::{Opened, folder};
use crate::base::limits::{
    DEFAULT_AUDIT_WRITE_SECONDS, MAXIMUM_AUDIT_NAME_BYTES, MAXIMUM_AUDIT_PREFIX_BYTES,
    MAXIMUM_AUDIT_WRITE_SECONDS,
};
use crate::service::secrets::barrier::hashed::{Hasher, Purpose};
use crate::service::secrets::engine::Fault;
use crate::service::secrets::memory::Key;
use crate::service::secrets::parameters::{span, switch};

/// What devices may reach, by the flags of the server.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// The directory that files and Unix sockets are in; none: there are none of either, and no TCP or UDP.
    pub directory: Option<PathBuf>,
    /// Where TCP and UDP may go to.
    pub networks: Vec<IpNet>,
}

impl Allowed {
    /// With a directory: what is in it, and loopback. Without: nothing outside of the process but the syslog.
    #[must_use]
    pub fn within(directory: Option<PathBuf>) -> Self {
        let loopback = || {
            let four = Ipv4Net::new(Ipv4Addr::new(127, 0, 0, 0), 8).map(IpNet::V4);
            let six = Ipv6Net::new(Ipv6Addr::LOCALHOST, 128).map(IpNet::V6);
            four.into_iter().chain(six).collect()
        };
        Self {
            networks: directory
                .iter()
                .flat_map(|_| -> Vec<IpNet> { loopback() })
                .collect(),
            directory,
        }
    }
}

/// Where a device writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file, by its steps from the allowed directory.
    File {
        /// The directory.
        directory: PathBuf,
        /// The steps.
        steps: PathBuf,
        /// The bits that it gets; none: those that it has, or of its owner alone.
        mode: Option<u32>,
    },
    /// Standard output.
    StandardOutput,
    /// Nowhere.
    Discard,
    /// A socket.
    Socket {
        /// Where it is.
        address: Address,
        /// The networks that it may be in.
        networks: Vec<IpNet>,
        /// How long a write takes at most.
        timeout: Duration,
    },
    /// The syslog of the machine.
    Syslog {
        /// The number of the facility.
        facility: u8,
        /// The name of the program.
        tag: String,
    },
    /// The log of the process.
    Log,
}

impl Target {
    /// Opens it.
    ///
    /// # Errors
    /// It cannot be written to.
    pub fn open(&self) -> io::Result<Opened> {
        Ok(match self {
            Self::File {
                directory,
                steps,
                mode,
            } => file::open(directory, steps, *mode)?,
            Self::StandardOutput => Opened::fresh(Box::new(StandardOutput::open()?)),
            Self::Discard => Opened::fresh(Box::new(Discard)),
            Self::Socket {
                address,
                networks,
                timeout,
            } => Opened::fresh(Box::new(Socket::open(
                address.clone(),
                networks.clone(),
                *timeout,
            )?)),
            Self::Syslog { facility, tag } => {
                Opened::fresh(Box::new(Syslog::open(syslog::SOCKET.into(), *facility, tag)?))
            }
            Self::Log => Opened::fresh(Box::new(Log)),
        })
    }
}

/// The settings of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name, which is the path that it is enabled at, without a slash at its end.
    pub name: String,
    /// Where it writes.
    pub target: Target,
    /// Whether values are shown as they are.
    pub is_raw: bool,
    /// Whether accessors are hashed.
    pub hashes_accessors: bool,
    /// Whether lists in answers are shown by how many names they have.
    pub elides_lists: bool,
    /// What is written in front of each record.
    pub prefix: String,
    /// Whether records are to survive a loss of power before the request goes on.
    pub is_synced: bool,
}

impl Settings {
    /// Reads `type` and `options` of `PUT sys/audit/:path`.
    ///
    /// # Errors
    /// They say something wrong, something that is not allowed, or something that is not offered.
    pub fn parse(
        path: &str,
        kind: &str,
        options: &Map<String, Value>,
        allowed: &Allowed,
    ) -> Result<Self, Fault> {
        let name = path.trim_end_matches('/');
        if name.is_empty() || name.len() > MAXIMUM_AUDIT_NAME_BYTES {
            return Err(invalid(format!(
                "the path of an audit device has {} bytes; it needs 1 to {MAXIMUM_AUDIT_NAME_BYTES}",
                name.len()
            )));
        }
        let options = Options(options);
        options.check(kind)?;
        let target = match kind {
            "file" => options.file(allowed)?,
            "socket" => options.socket(allowed)?,
            "syslog" => options.syslog()?,
            "log" => Target::Log,
            "http" => return Err(Fault::Unimplemented("the audit type \"http\"".to_owned())),
            other => {
                return Err(invalid(format!(
                    "unknown backend type: {other:?}; write file, socket, syslog or log"
                )));
            }
        };
        let is_synced = options.switch("fsync", false)?;
        if is_synced && !matches!(target, Target::File { .. }) {
            return Err(invalid("fsync is only for files".to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            target,
            is_raw: options.switch("log_raw", false)?,
            hashes_accessors: options.switch("hmac_accessor", true)?,
            elides_lists: options.switch("elide_list_responses", false)?,
            prefix: options.prefix()?,
            is_synced,
        })
    }

    /// How the device shows entries, with a key made of the keyring's hash key.
    #[must_use]
    pub fn style(&self, hash_key: &Key) -> Style {
        Style {
            hasher: Hasher::new(hash_key, Purpose::Audit { device: &self.name }),
            is_raw: self.is_raw,
            hashes_accessors: self.hashes_accessors,
            elides_lists: self.elides_lists,
        }
    }
}

fn invalid(text: String) -> Fault {
    Fault::Invalid(text)
}

/// Options that every device has.
const COMMON: [&str; 6] = [
    "log_raw",
    "hmac_accessor",
    "elide_list_responses",
    "format",
    "prefix",
    "fsync",
];

/// Options of Vault that are not offered.
const MISSING: [&str; 4] = ["fallback", "filter", "exclude", "skip_test"];

struct Options<'a>(&'a Map<String, Value>);

impl Options<'_> {
    /// That there are none but those of the type.
    fn check(&self, kind: &str) -> Result<(), Fault> {
        let own: &[&str] = match kind {
            "file" => &["file_path", "path", "mode"],
            "socket" => &["address", "socket_type", "write_timeout"],
            "syslog" => &["facility", "tag"],
            _ => &[],
        };
        for name in self.0.keys().map(String::as_str) {
            if MISSING.contains(&name) {
                return Err(Fault::Unimplemented(format!("the audit option {name:?}")));
            }
            if !COMMON.contains(&name) && !own.contains(&name) {
                return Err(invalid(format!(
                    "unknown option {name:?}; an audit device of the type {kind:?} has {}",
                    [&COMMON[..], own].concat().join(", ")
                )));
            }
        }
        match self.text("format")? {
            None | Some("json") => Ok(()),
            Some("jsonx") => Err(Fault::Unimplemented("the audit format \"jsonx\"".to_owned())),
            Some(other) => Err(invalid(format!("unknown format type {other:?}; write json"))),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Fault> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(invalid(format!("{name} is no text"))),
        }
    }

    fn switch(&self, name: &str, otherwise: bool) -> Result<bool, Fault> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(otherwise),
            Some(value) => switch(value).map_err(|error| invalid(format!("{name}: {error}"))),
        }
    }

    /// A prefix ends before the first bracket of the record, and stays in its line.
    fn prefix(&self) -> Result<String, Fault> {
        let prefix = self.text("prefix")?.unwrap_or_default();
        if prefix.len() > MAXIMUM_AUDIT_PREFIX_BYTES {
            return Err(invalid(format!(
                "prefix has {} bytes; the most is {MAXIMUM_AUDIT_PREFIX_BYTES}",
                prefix.len()
            )));
        }
        if prefix.contains(|character: char| character == '{' || character.is_control()) {
            return Err(invalid(
                "prefix has a bracket { or a control character".to_owned(),
            ));
        }
        Ok(prefix.to_owned())
    }

    fn file(&self, allowed: &Allowed) -> Result<Target, Fault> {
        let path = match (self.text("file_path")?, self.text("path")?) {
            (Some(path), _) | (None, Some(path)) => path,
            (None, None) => return Err(invalid("file_path is required".to_owned())),
        };
        let mode = self.mode()?;
        match path {
            "stdout" => return Ok(Target::StandardOutput),
            "discard" => return Ok(Target::Discard),
            _ => {}
        }
        let steps = steps(allowed, path)?;
        Ok(Target::File {
            directory: allowed.directory.clone().unwrap_or_default(),
            steps,
            mode,
        })
    }

    /// Octal digits. Zero: an existing file keeps its own.
    fn mode(&self) -> Result<Option<u32>, Fault> {
        let Some(text) = self.text("mode")? else {
            return Ok(None);
        };
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777);
        match mode {
            Some(0) => Ok(None),
            // What is no longer readable by the owner cannot be opened again.
            Some(mode) if mode & 0o600 == 0o600 => Ok(Some(mode)),
            _ => Err(invalid(format!(
                "mode {text:?} is no mode of a file; write octal digits such as 0600, with 6 for the owner"
            ))),
        }
    }

    fn socket(&self, allowed: &Allowed) -> Result<Target, Fault> {
        let text = self.text("address")?;
        let text = text.ok_or_else(|| invalid("address is required".to_owned()))?;
        let Some(directory) = &allowed.directory else {
            return Err(invalid(
                "no socket may be written to: the server was started without a directory for audit files"
                    .to_owned(),
            ));
        };
        let address = match self.text("socket_type")?.unwrap_or("tcp") {
            "tcp" => Address::Tcp(host_and_port(text)?),
            "udp" => Address::Udp(host_and_port(text)?),
            "unix" => Address::Unix {
                directory: directory.clone(),
                steps: steps(allowed, text)?,
            },
            other => {
                return Err(invalid(format!(
                    "socket_type {other:?} is not known; write tcp, udp or unix"
                )));
            }
        };
        let timeout = match self.0.get("write_timeout") {
            None | Some(Value::Null) => Duration::from_secs(DEFAULT_AUDIT_WRITE_SECONDS),
            Some(value) => span(value).map_err(|error| invalid(format!("write_timeout: {error}")))?,
        };
        if timeout.is_zero() || timeout > Duration::from_secs(MAXIMUM_AUDIT_WRITE_SECONDS) {
            return Err(invalid(format!(
                "write_timeout is {timeout:?}; write more than 0s, and at most {MAXIMUM_AUDIT_WRITE_SECONDS}s"
            )));
        }
        Ok(Target::Socket {
            address,
            networks: allowed.networks.clone(),
            timeout,
        })
    }

    fn syslog(&self) -> Result<Target, Fault> {
        let name = self.text("facility")?.unwrap_or("AUTH");
        let facility = syslog::facility(name);
        let facility =
            facility.ok_or_else(|| invalid(format!("facility {name:?} is not known; write AUTH")))?;
        let tag = self.text("tag")?.unwrap_or("vault");
        let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if tag.len() > 32 || !tag.bytes().all(is_tag) {
            return Err(invalid(format!(
                "tag {tag:?} is no name of a program; write at most 32 letters, digits, - _ ."
            )));
        }
        Ok(Target::Syslog {
            facility,
            tag: tag.to_owned(),
        })
    }
}

fn steps(allowed: &Allowed, path: &str) -> Result<PathBuf, Fault> {
    if path.contains(char::is_control) {
        return Err(invalid("the path has a control character".to_owned()));
    }
    folder::steps(allowed.directory.as_deref(), Path::new(path)).map_err(|error| invalid(error.to_string()))
}

fn host_and_port(address: &str) -> Result<String, Fault> {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    if host.is_empty() || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(invalid(format!("address {address:?} is not host:port")));
    }
    Ok(address.to_owned())
}
