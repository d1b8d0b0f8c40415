//! Where a member listens and where it is found: the URLs of the flags, and what is made of them.

use super::error::ConfigError;
use super::settings::invalid;
use super::sources::Values;
use super::url::HostUrl;
use super::{ListenAddress, ListenSocket};

type Result<T> = std::result::Result<T, ConfigError>;

/// The URLs of all flags.
pub(super) struct Urls {
    listen_client: Vec<HostUrl>,
    listen_http: Vec<HostUrl>,
    listen_metrics: Vec<HostUrl>,
    listen_consul: Vec<HostUrl>,
    listen_vault: Vec<HostUrl>,
    /// Where other members are listened to.
    pub(super) listen_peer: Vec<HostUrl>,
    advertise_client: Vec<HostUrl>,
    /// Where other members find this one.
    pub(super) advertise_peer: Vec<HostUrl>,
}

impl Urls {
    /// Reads them. What others cannot use is added to the warnings.
    ///
    /// # Errors
    /// The first that cannot be, with its mend.
    pub(super) fn read(values: &mut Values) -> Result<Self> {
        if values.is_given("listen-client-urls") && !values.is_given("advertise-client-urls") {
            return Err(ConfigError::Conflict(format!(
                "--advertise-client-urls must be given with --listen-client-urls: write where clients reach this \
                 member, such as --advertise-client-urls={}",
                values.get("listen-client-urls").value
            )));
        }
        let urls = Self {
            listen_client: read(values, "listen-client-urls", HostUrl::parse_list_for_clients)?,
            listen_http: read_if_given(values, "listen-client-http-urls")?,
            listen_metrics: read_if_given(values, "listen-metrics-urls")?,
            listen_consul: read_if_given(values, "listen-consul-urls")?,
            listen_vault: read_if_given(values, "listen-vault-urls")?,
            listen_peer: read(values, "listen-peer-urls", HostUrl::parse_list)?,
            advertise_client: read(values, "advertise-client-urls", HostUrl::parse_list_for_clients)?,
            advertise_peer: read(values, "initial-advertise-peer-urls", HostUrl::parse_list)?,
        };
        for (flag, urls) in [
            ("advertise-client-urls", &urls.advertise_client),
            ("initial-advertise-peer-urls", &urls.advertise_peer),
        ] {
            if urls.iter().any(HostUrl::is_unspecified) {
                values.warnings.push(format!(
                    "--{flag} has an address that means \"this machine\" everywhere: others cannot reach this member by it"
                ));
            }
        }
        Ok(urls)
    }

    /// All that clients are listened to on, pages and metrics among them.
    pub(super) fn for_clients(&self) -> Vec<HostUrl> {
        [
            self.listen_client.as_slice(),
            &self.listen_http,
            &self.listen_metrics,
            &self.listen_consul,
            &self.listen_vault,
        ]
        .concat()
    }

    /// Where clients find this member.
    pub(super) fn advertise_client(&self) -> Vec<String> {
        texts(&self.advertise_client)
    }

    /// The addresses to bind to for clients.
    pub(super) fn client(&self, values: &Values) -> Result<Vec<ListenAddress>> {
        addresses(values, "listen-client-urls", &self.listen_client)
    }

    /// The Unix sockets to bind to for clients.
    pub(super) fn sockets(&self) -> Vec<ListenSocket> {
        let sockets = self.listen_client.iter().filter_map(|url| {
            let path = url.socket()?.to_owned();
            let is_tls = url.is_tls();
            Some(ListenSocket { path, is_tls })
        });
        sockets.collect()
    }

    /// The addresses to bind to for pages.
    pub(super) fn http(&self, values: &Values) -> Result<Vec<ListenAddress>> {
        addresses(values, "listen-client-http-urls", &self.listen_http)
    }

    /// The addresses to bind to for metrics.
    pub(super) fn metrics(&self, values: &Values) -> Result<Vec<ListenAddress>> {
        addresses(values, "listen-metrics-urls", &self.listen_metrics)
    }

    /// The addresses to bind to for Consul's interface.
    pub(super) fn consul(&self, values: &Values) -> Result<Vec<ListenAddress>> {
        addresses(values, "listen-consul-urls", &self.listen_consul)
    }

    /// The addresses to bind to for Vault's interface.
    pub(super) fn vault(&self, values: &Values) -> Result<Vec<ListenAddress>> {
        addresses(values, "listen-vault-urls", &self.listen_vault)
    }

    /// The addresses to bind to for other members.
    pub(super) fn peer(&self, values: &Values) -> Result<Vec<ListenAddress>> {
        addresses(values, "listen-peer-urls", &self.listen_peer)
    }
}

/// The URLs as they were written.
pub(super) fn texts(urls: &[HostUrl]) -> Vec<String> {
    urls.iter().map(|url| url.text().to_owned()).collect()
}

fn read(
    values: &Values,
    flag: &'static str,
    parse: fn(&str) -> std::result::Result<Vec<HostUrl>, String>,
) -> Result<Vec<HostUrl>> {
    let given = values.get(flag);
    parse(&given.value).map_err(|mend| invalid(&given, mend))
}

fn read_if_given(values: &Values, flag: &'static str) -> Result<Vec<HostUrl>> {
    if values.is_given(flag) {
        read(values, flag, HostUrl::parse_list)
    } else {
        Ok(Vec::new())
    }
}

/// The addresses of all that are no Unix sockets.
fn addresses(values: &Values, flag: &'static str, urls: &[HostUrl]) -> Result<Vec<ListenAddress>> {
    let given = values.get(flag);
    urls.iter()
        .filter(|url| url.socket().is_none())
        .map(|url| {
            Ok(ListenAddress {
                address: url.bind_address().map_err(|mend| invalid(&given, mend))?,
                is_tls: url.is_tls(),
            })
        })
        .collect()
}
