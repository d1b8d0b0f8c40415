//! Turns the collected values into a [`ServerConfig`]: every value by itself, then those that must fit each other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::error::ConfigError;
use super::listen::{Urls, texts};
use super::sources::{Given, Values};
use super::tls::Addresses;
use super::url::HostUrl;
use super::{
    AutoCompaction, Keepalive, LogConfig, LogFormat, LogLevel, LogOutput, ServerConfig, auth, checks,
    corruption, dns, parse_switch, rights, secrets, tls,
};
use crate::base::limits::{DEFAULT_QUOTA_BYTES, GRPC_OVERHEAD_BYTES};
use crate::base::{duration, identity};
use crate::replication::{IDENTITY_FILE, PeerMember};

/// Longest election timeout, as in etcd.
const MAXIMUM_ELECTION_MILLISECONDS: u64 = 50_000;

/// How many heartbeats an election timeout holds at least, as in etcd.
const MINIMUM_HEARTBEATS_PER_ELECTION: u64 = 5;

/// What a request may have at most, so that its gRPC message still has a length of 31 bits.
const MAXIMUM_REQUEST_BYTES: u32 = i32::MAX as u32 - GRPC_OVERHEAD_BYTES;

/// The size of a request above which there is a warning, as in etcd.
const RECOMMENDED_REQUEST_BYTES: u32 = 10 * 1024 * 1024;

/// Time between progress notes if the flag is 0, as in etcd.
const DEFAULT_PROGRESS_INTERVAL: Duration = Duration::from_secs(600);

/// Shortest time between progress notes, as in etcd.
const MINIMUM_PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Log entries between two snapshots if the flag is 0, as in etcd.
const DEFAULT_SNAPSHOT_ENTRIES: u64 = 10_000;

/// Longest name of a member, and longest token of a cluster.
const MAXIMUM_NAME_BYTES: usize = 255;

type Result<T> = std::result::Result<T, ConfigError>;

pub(super) fn invalid(given: &Given, mend: impl Into<String>) -> ConfigError {
    ConfigError::Invalid {
        origin: given.origin.clone(),
        value: given.value.clone(),
        mend: mend.into(),
    }
}

pub(super) fn number<T>(values: &Values, flag: &'static str, range: RangeInclusive<T>) -> Result<T>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let given = values.get(flag);
    match given.value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(invalid(
            &given,
            format!("write a whole number from {} to {}", range.start(), range.end()),
        )),
    }
}

pub(super) fn interval(values: &Values, flag: &'static str) -> Result<Duration> {
    let given = values.get(flag);
    duration::parse(&given.value).ok_or_else(|| {
        invalid(
            &given,
            "write a number with a unit (ns, us, ms, s, m, h), such as 5s",
        )
    })
}

/// A list of names; none if it is empty or holds the star, which both mean all.
fn names(given: &Given) -> Option<BTreeSet<String>> {
    let names: BTreeSet<String> = given
        .value
        .split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    (!names.is_empty() && !names.contains("*")).then_some(names)
}

fn cors_origins(values: &Values) -> Result<Option<BTreeSet<String>>> {
    let given = values.get("cors");
    let origins = names(&given);
    let is_origin = |origin: &String| {
        url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin)
    };
    match origins.iter().flatten().find(|origin| !is_origin(origin)) {
        Some(origin) => Err(invalid(
            &given,
            format!("{origin:?} is no origin; write http://host or http://host:port, or * for all"),
        )),
        None => Ok(origins),
    }
}

fn extensive_metrics(values: &Values) -> Result<bool> {
    let given = values.get("metrics");
    match given.value.as_str() {
        "basic" => Ok(false),
        "extensive" => Ok(true),
        _ => Err(invalid(&given, "write basic or extensive")),
    }
}

pub(super) fn some_unless_zero(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

/// Reads a switch.
pub(super) fn switch(values: &Values, flag: &'static str) -> Result<bool> {
    let given = values.get(flag);
    parse_switch(&given.value).ok_or_else(|| invalid(&given, "write true or false"))
}

/// Builds the configuration; `dial_map` is the value of `STEAD_PEER_DIAL_MAP`.
///
/// # Errors
/// The first value that cannot be, with its mend.
pub(super) fn build(mut values: Values, dial_map: &str) -> Result<ServerConfig> {
    let name = name(&values)?;
    let data_folder = data_folder(&values, &name)?;
    let urls = Urls::read(&mut values)?;
    let listen_dns = dns::listen(&values)?;
    let (heartbeat, election) = timing(&values)?;
    let token = short_text(&values, "initial-cluster-token")?;
    let initial_members = match initial_members(&values, &name, &urls.advertise_peer, &token) {
        // As in etcd: a member with a past knows its cluster.
        Err(error) if holds_member(&data_folder) => {
            values.warnings.push(format!(
                "{error}; this is ignored, since the data folder holds a member already"
            ));
            Vec::new()
        }
        members => members?,
    };
    let advertise_peer_urls = texts(&urls.advertise_peer);
    let [client_tls, peer_tls] = {
        let addresses = Addresses {
            client: &urls.for_clients(),
            peer: &urls.listen_peer,
            a_member_is_protected: initial_members
                .iter()
                .flat_map(|member| &member.peer_urls)
                .any(|url| url.starts_with("https://")),
        };
        tls::build(&mut values, &data_folder, &addresses)?
    };
    let ids: Vec<_> = initial_members.iter().map(|member| member.id).collect();
    let mut config = ServerConfig {
        member: identity::member_id(&advertise_peer_urls, &token),
        cluster: identity::cluster_id(&ids),
        name,
        data_folder,
        listen_client: urls.client(&values)?,
        listen_sockets: urls.sockets(),
        listen_client_http: urls.http(&values)?,
        listen_peer: urls.peer(&values)?,
        listen_metrics: urls.metrics(&values)?,
        dns: dns::settings(&values, &listen_dns)?,
        listen_dns,
        listen_consul: urls.consul(&values)?,
        consul_datacenter: dns::datacenter(&values)?,
        consul_acls: rights::consul_acls(&values)?,
        seals: secrets::seals(&values)?,
        consul_requests_per_client: number(&values, "consul-max-requests-per-client", 1..=u32::MAX)?,
        client_tls,
        peer_tls,
        advertise_client_urls: urls.advertise_client(),
        advertise_peer_urls,
        initial_members,
        new_cluster: is_new_cluster(&values)?,
        strict_reconfiguration: switch(&values, "strict-reconfig-check")?,
        maximum_learners: number(&values, "max-learners", 0..=u32::MAX)?,
        peer_dial_map: parse_dial_map(dial_map)?,
        heartbeat,
        election,
        snapshot_entries: match number(&values, "snapshot-count", 0..=u64::MAX)? {
            0 => DEFAULT_SNAPSHOT_ENTRIES,
            entries => entries,
        },
        maximum_request_bytes: number(&values, "max-request-bytes", 1..=MAXIMUM_REQUEST_BYTES)?,
        maximum_txn_operations: number(&values, "max-txn-ops", 1..=u32::MAX)?,
        quota_bytes: match number(&values, "quota-backend-bytes", i64::MIN..=i64::MAX)? {
            0 => Some(DEFAULT_QUOTA_BYTES),
            bytes => (bytes > 0).then_some(bytes),
        },
        auto_compaction: auto_compaction(&values)?,
        corruption_checks: corruption::checks(&mut values)?,
        checks: checks::policy(&values)?,
        maximum_concurrent_streams: number(&values, "max-concurrent-streams", 1..=u32::MAX)?,
        keepalive: Keepalive {
            interval: some_unless_zero(interval(&values, "grpc-keepalive-interval")?),
            timeout: some_unless_zero(interval(&values, "grpc-keepalive-timeout")?),
        },
        watch_progress_interval: progress_interval(&values)?,
        tokens: auth::tokens(&values)?,
        gateway: switch(&values, "enable-grpc-gateway")?,
        cors_origins: cors_origins(&values)?,
        host_names: names(&values.get("host-whitelist")),
        extensive_metrics: extensive_metrics(&values)?,
        slow_request: interval(&values, "warning-unary-request-duration")?,
        slow_apply: interval(&values, "warning-apply-duration")?,
        log: log(&values)?,
        warnings: Vec::new(),
    };
    config.warnings = values.warnings;
    if config.maximum_request_bytes > RECOMMENDED_REQUEST_BYTES {
        config.warnings.push(format!(
            "--max-request-bytes is {}, more than {RECOMMENDED_REQUEST_BYTES}: one large request holds up all others",
            config.maximum_request_bytes
        ));
    }
    Ok(config)
}

fn short_text(values: &Values, flag: &'static str) -> Result<String> {
    let given = values.get(flag);
    if given.value.is_empty() || given.value.len() > MAXIMUM_NAME_BYTES {
        return Err(invalid(&given, format!("write 1 to {MAXIMUM_NAME_BYTES} bytes")));
    }
    Ok(given.value)
}

fn name(values: &Values) -> Result<String> {
    let name = short_text(values, "name")?;
    if name.contains([',', '=', '/', '\0']) {
        return Err(invalid(
            &values.get("name"),
            "write a name without comma, equals sign and slash: it stands in --initial-cluster and names the data folder",
        ));
    }
    Ok(name)
}

fn data_folder(values: &Values, name: &str) -> Result<PathBuf> {
    let given = values.get("data-dir");
    let folder = if given.value.is_empty() {
        PathBuf::from(format!("{name}.etcd"))
    } else {
        PathBuf::from(&given.value)
    };
    if folder.join("member").join("wal").exists() {
        return Err(ConfigError::Conflict(format!(
            "{} is {:?}, a data folder of etcd: choose another folder; to take the keys along, start both and copy them \
             with `stead export` from etcd and `stead import` into Stead",
            given.origin,
            folder.display()
        )));
    }
    if Path::new(&folder).exists() && !folder.is_dir() {
        return Err(ConfigError::Conflict(format!(
            "{} is {:?}, which is no folder: choose another path",
            given.origin,
            folder.display()
        )));
    }
    Ok(folder)
}

fn holds_member(data_folder: &Path) -> bool {
    data_folder.join(IDENTITY_FILE).exists()
}

fn timing(values: &Values) -> Result<(Duration, Duration)> {
    let heartbeat: u64 = number(values, "heartbeat-interval", 1..=MAXIMUM_ELECTION_MILLISECONDS)?;
    let election: u64 = number(values, "election-timeout", 1..=MAXIMUM_ELECTION_MILLISECONDS)?;
    if election < heartbeat.saturating_mul(MINIMUM_HEARTBEATS_PER_ELECTION) {
        return Err(ConfigError::Conflict(format!(
            "--election-timeout is {election} ms and --heartbeat-interval {heartbeat} ms: an election timeout must hold \
             at least {MINIMUM_HEARTBEATS_PER_ELECTION} heartbeats, or a late one starts an election; raise the first or \
             lower the second"
        )));
    }
    Ok((Duration::from_millis(heartbeat), Duration::from_millis(election)))
}

fn is_new_cluster(values: &Values) -> Result<bool> {
    let given = values.get("initial-cluster-state");
    match given.value.as_str() {
        "new" => Ok(true),
        "existing" => Ok(false),
        _ => Err(invalid(
            &given,
            "write new (form a cluster) or existing (join one)",
        )),
    }
}

/// The members of `--initial-cluster`, this one with exactly the peer URLs it advertises.
fn initial_members(
    values: &Values,
    name: &str,
    advertise_peer: &[HostUrl],
    token: &str,
) -> Result<Vec<PeerMember>> {
    let given = values.get("initial-cluster");
    let mut by_name: BTreeMap<String, Vec<HostUrl>> = BTreeMap::new();
    if given.value.is_empty() {
        by_name.insert(name.to_owned(), advertise_peer.to_vec());
    } else {
        let mut seen: BTreeMap<HostUrl, String> = BTreeMap::new();
        for part in given.value.split(',') {
            let Some((member, url)) = part
                .trim()
                .split_once('=')
                .filter(|(member, _)| !member.is_empty())
            else {
                return Err(invalid(
                    &given,
                    format!("{part:?} has no name; write name=http://host:port,name=http://host:port"),
                ));
            };
            let url = HostUrl::parse(url).map_err(|mend| invalid(&given, mend))?;
            if let Some(other) = seen.insert(url.clone(), member.to_owned()) {
                return Err(invalid(
                    &given,
                    format!(
                        "{:?} is given for {other:?} and for {member:?}; each member has addresses of its own",
                        url.text()
                    ),
                ));
            }
            by_name.entry(member.to_owned()).or_default().push(url);
        }
        for urls in by_name.values_mut() {
            urls.sort();
        }
        match by_name.get(name) {
            None => {
                return Err(invalid(
                    &given,
                    format!(
                        "it does not have this member, {name:?}; add {name}={} or set --name to one of its names",
                        texts(advertise_peer).join(&format!(",{name}="))
                    ),
                ));
            }
            Some(urls) if urls != advertise_peer => {
                return Err(invalid(
                    &given,
                    format!(
                        "it has {name} at {}, but --initial-advertise-peer-urls is {}; make them equal",
                        texts(urls).join(","),
                        texts(advertise_peer).join(",")
                    ),
                ));
            }
            Some(_) => {}
        }
    }
    let mut members: Vec<PeerMember> = by_name
        .into_iter()
        .map(|(name, urls)| {
            let peer_urls = texts(&urls);
            PeerMember {
                id: identity::member_id(&peer_urls, token),
                name,
                peer_urls,
                is_learner: false,
            }
        })
        .collect();
    members.sort_by_key(|member| member.id);
    Ok(members)
}

/// `advertised:port=dialed:port,...`
fn parse_dial_map(text: &str) -> Result<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let pair = part.trim().split_once('=').filter(|(from, to)| {
            [from, to]
                .iter()
                .all(|address| HostUrl::parse(&format!("http://{address}")).is_ok())
        });
        let Some((from, to)) = pair else {
            return Err(ConfigError::Invalid {
                origin: "STEAD_PEER_DIAL_MAP".to_owned(),
                value: text.to_owned(),
                mend: format!("{part:?} is no pair of addresses; write advertised:port=dialed:port,..."),
            });
        };
        map.insert(from.to_owned(), to.to_owned());
    }
    Ok(map)
}

fn auto_compaction(values: &Values) -> Result<AutoCompaction> {
    let mode = values.get("auto-compaction-mode");
    let retention = values.get("auto-compaction-retention");
    let text = retention.value.as_str();
    match mode.value.as_str() {
        "revision" => match text.parse() {
            Ok(0) => Ok(AutoCompaction::Off),
            Ok(revisions) if revisions > 0 => Ok(AutoCompaction::Revisions(revisions)),
            _ => Err(invalid(
                &retention,
                "with --auto-compaction-mode=revision, write how many revisions to keep, such as 1000",
            )),
        },
        "periodic" => {
            let period = match text.parse::<u64>() {
                Ok(hours) => hours.checked_mul(3_600).map(Duration::from_secs),
                Err(_) => duration::parse(text),
            };
            match period {
                Some(period) if period.is_zero() => Ok(AutoCompaction::Off),
                Some(period) => Ok(AutoCompaction::Periodic(period)),
                None => Err(invalid(
                    &retention,
                    "with --auto-compaction-mode=periodic, write a time such as 30m or 1h (a plain number means hours)",
                )),
            }
        }
        _ => Err(invalid(&mode, "write periodic or revision")),
    }
}

fn progress_interval(values: &Values) -> Result<Duration> {
    let interval = interval(values, "watch-progress-notify-interval")?;
    if interval.is_zero() {
        return Ok(DEFAULT_PROGRESS_INTERVAL);
    }
    if interval < MINIMUM_PROGRESS_INTERVAL {
        return Err(invalid(
            &values.get("watch-progress-notify-interval"),
            "write at least 100ms, or 0 for 10m",
        ));
    }
    Ok(interval)
}

fn log(values: &Values) -> Result<LogConfig> {
    let level = values.get("log-level");
    let format = values.get("log-format");
    let outputs = values.get("log-outputs");
    Ok(LogConfig {
        level: match level.value.as_str() {
            "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "warn" => LogLevel::Warn,
            "error" | "dpanic" | "panic" | "fatal" => LogLevel::Error,
            _ => {
                return Err(invalid(
                    &level,
                    "write debug, info, warn, error, dpanic, panic or fatal",
                ));
            }
        },
        format: match format.value.as_str() {
            "json" => LogFormat::Json,
            "console" | "text" => LogFormat::Text,
            _ => return Err(invalid(&format, "write json or console")),
        },
        outputs: outputs
            .value
            .split(',')
            .map(|output| match output.trim() {
                "default" | "stderr" => Ok(LogOutput::Stderr),
                "stdout" => Ok(LogOutput::Stdout),
                "" | "systemd/journal" => Err(invalid(
                    &outputs,
                    "write default, stderr, stdout or paths of files; journald takes the standard error of a unit",
                )),
                path => Ok(LogOutput::File(PathBuf::from(path))),
            })
            .collect::<Result<_>>()?,
    })
}
