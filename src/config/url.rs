//! Addresses in the form of etcd's flags: comma-separated `http://host:port` or `https://host:port`.
//!
//! Keeps the text as it was written, since member ids are computed from it. Never resolves a name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Longest path of a Unix socket: what the system's address holds, and a zero behind it.
const MAXIMUM_SOCKET_BYTES: usize = 107;

/// An address in the form `http://host:port` or `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostUrl {
    text: String,
    host: String,
    port: u16,
    socket: Option<PathBuf>,
    is_tls: bool,
}

impl HostUrl {
    /// Reads one address.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("{text:?} is no URL; write http://host:port"));
        };
        match scheme {
            "http" | "https" => {}
            "unix" | "unixs" => {
                return Err(format!(
                    "{text:?} is a Unix socket, which is for clients alone; write http://host:port"
                ));
            }
            _ => {
                return Err(format!(
                    "{text:?} has the unknown scheme {scheme:?}; write http://host:port"
                ));
            }
        }
        if rest.contains(['/', '?', '#', '@']) {
            return Err(format!(
                "{text:?} has more than host and port; write http://host:port without user, path or slash at the end"
            ));
        }
        let Some((host, port)) = rest.rsplit_once(':') else {
            return Err(format!("{text:?} has no port; write http://host:port"));
        };
        let host = host
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err(format!("{text:?} has no host; write http://host:port"));
        }
        if host.contains(':') && !rest.starts_with('[') {
            return Err(format!(
                "{text:?} has an IPv6 address without brackets; write http://[address]:port"
            ));
        }
        let Ok(port) = port.parse() else {
            return Err(format!(
                "{text:?} has the port {port:?}; write a number up to 65535"
            ));
        };
        Ok(Self {
            text: text.to_owned(),
            host: host.to_owned(),
            port,
            socket: None,
            is_tls: scheme == "https",
        })
    }

    /// Reads one address for clients, which may be a Unix socket: `unix:///path`, or `unix://path` from the folder in which
    /// the server is started; `unixs` with TLS. Its host is the name of its file, which clients expect in a certificate.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    fn parse_for_clients(text: &str) -> Result<Self, String> {
        let Some((scheme @ ("unix" | "unixs"), path)) = text.split_once("://") else {
            return Self::parse(text);
        };
        if path.is_empty() {
            return Err(format!("{text:?} has no path; write {scheme}:///path/of/socket"));
        }
        if path.len() > MAXIMUM_SOCKET_BYTES {
            return Err(format!(
                "{text:?} is too long: the system takes {MAXIMUM_SOCKET_BYTES} bytes; write a shorter path"
            ));
        }
        let file = path.rsplit('/').next().unwrap_or_default();
        Ok(Self {
            text: text.to_owned(),
            host: file.split(':').next().unwrap_or_default().to_owned(),
            port: 0,
            socket: Some(PathBuf::from(path)),
            is_tls: scheme == "unixs",
        })
    }

    /// Reads a list like [`HostUrl::parse_list`] in which Unix sockets may be.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    pub(super) fn parse_list_for_clients(text: &str) -> Result<Vec<Self>, String> {
        Self::list(text, Self::parse_for_clients)
    }

    /// The path, if it is a Unix socket.
    pub(super) fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Reads a comma-separated list of at least one address, in the order of etcd: by text.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    pub(super) fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        Self::list(text, Self::parse)
    }

    fn list(text: &str, parse: impl Fn(&str) -> Result<Self, String>) -> Result<Vec<Self>, String> {
        let mut urls: Vec<Self> = text
            .split(',')
            .map(|part| parse(part.trim()))
            .collect::<Result<_, _>>()?;
        urls.sort();
        if let Some(pair) = urls.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(format!(
                "{:?} is given twice; write it once",
                pair.first().map(Self::text).unwrap_or_default()
            ));
        }
        Ok(urls)
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The name or address of the host, without brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether TLS is spoken there.
    pub(super) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The address to bind to.
    ///
    /// # Errors
    /// The host is a name: which of its addresses is meant is not the server's to guess.
    pub(super) fn bind_address(&self) -> Result<SocketAddr, String> {
        if self.host == "localhost" {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        }
        let address: IpAddr = self.host.parse().map_err(|_| {
            format!(
                "{:?} has the name {:?} where an address of this machine is needed; write an IP address, 0.0.0.0 for all, or localhost",
                self.text, self.host
            )
        })?;
        Ok(SocketAddr::from((address, self.port)))
    }

    /// Whether it means "all addresses", which nobody can connect to from elsewhere.
    pub(super) fn is_unspecified(&self) -> bool {
        self.host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_unspecified())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_read() {
        for (text, address) in [
            ("http://127.0.0.1:2379", "127.0.0.1:2379"),
            ("http://localhost:80", "127.0.0.1:80"),
            ("http://[::1]:2379", "[::1]:2379"),
            ("http://0.0.0.0:0", "0.0.0.0:0"),
        ] {
            let url = HostUrl::parse(text).unwrap();
            assert_eq!(url.bind_address().unwrap().to_string(), address);
            assert_eq!(url.text(), text);
            assert!(!url.is_tls());
            assert!(HostUrl::parse(&text.replace("http", "https")).unwrap().is_tls());
        }
    }

    #[test]
    fn each_error_says_what_to_write() {
        for (text, part) in [
            ("localhost:2379", "is no URL"),
            ("unix://a:1", "is for clients alone"),
            ("unixs://a:1", "is for clients alone"),
            ("ftp://a:1", "unknown scheme \"ftp\""),
            ("http://a:1/", "without user, path or slash"),
            ("http://a", "has no port"),
            ("http://:1", "has no host"),
            ("http://::1:1", "without brackets"),
            ("http://a:65536", "a number up to 65535"),
        ] {
            let error = HostUrl::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
            assert!(error.contains("write "), "{text}: {error}");
        }
    }

    #[test]
    fn a_unix_socket_is_a_path_from_the_root_or_from_here() {
        let urls = HostUrl::parse_list_for_clients("unixs:///run/stead,unix://here:m1,http://a:1").unwrap();
        let sockets: Vec<_> = urls
            .iter()
            .map(|url| (url.socket(), url.host(), url.is_tls()))
            .collect();
        assert_eq!(
            sockets,
            [
                (None, "a", false),
                (Some(Path::new("here:m1")), "here", false),
                (Some(Path::new("/run/stead")), "stead", true),
            ]
        );
        let long = format!("unix:///{}", "a".repeat(MAXIMUM_SOCKET_BYTES));
        for (text, part) in [
            ("unix://", "has no path"),
            ("unixs://", "write unixs:///path"),
            (long.as_str(), "write a shorter path"),
        ] {
            let error = HostUrl::parse_list_for_clients(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_list_is_sorted_and_has_no_address_twice() {
        let urls = HostUrl::parse_list("http://b:2, http://a:1").unwrap();
        let texts: Vec<&str> = urls.iter().map(HostUrl::text).collect();
        assert_eq!(texts, ["http://a:1", "http://b:2"]);
        assert!(
            HostUrl::parse_list("http://a:1,http://a:1")
                .unwrap_err()
                .contains("twice")
        );
        assert!(HostUrl::parse_list("").is_err());
    }

    #[test]
    fn a_name_cannot_be_bound() {
        let error = HostUrl::parse("http://node1:2379")
            .unwrap()
            .bind_address()
            .unwrap_err();
        assert!(error.contains("write an IP address"), "{error}");
    }
}
