//! What a program says of the cluster that it is a client of.

use std::path::PathBuf;
use std::time::Duration;

use super::endpoints::Client;
use super::error::ClientError;
use super::login::Login;
use super::node::Times;
use super::security::Security;
use crate::base::secret::Secret;
use crate::base::tls::{CertificateFiles, Side, TlsSettings};

/// Where a cluster is, and how it is spoken with.
///
/// ```
/// use stead::client::Settings;
///
/// let client = Settings::new("https://10.0.0.1:2379,https://10.0.0.2:2379")
///     .authorities("ca.pem")
///     .user("alice", "secret");
/// ```
#[derive(Debug, Clone)]
pub struct Settings {
    endpoints: String,
    tls: TlsSettings,
    login: Option<Login>,
    token: Option<Secret<String>>,
    times: Times,
}

impl Settings {
    /// Comma-separated endpoints: `host:port`, `http://host:port`, `https://host:port`, `unix:///path` or
    /// `unixs:///path`. In the clear, unless one says `https` or a certificate is given.
    #[must_use]
    pub fn new(endpoints: &str) -> Self {
        Self {
            endpoints: endpoints.to_owned(),
            tls: TlsSettings::new(Side::Client),
            login: None,
            token: None,
            times: Times::default(),
        }
    }

    /// The file with the authorities that sign servers' certificates, in PEM; the system's unless given.
    #[must_use]
    pub fn authorities(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.authorities = Some(path.into());
        self
    }

    /// The files with the certificate to show and its key, in PEM.
    #[must_use]
    pub fn certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls.dialling_identity = Some(CertificateFiles {
            certificate: certificate.into(),
            key: key.into(),
        });
        self
    }

    /// The user that everything is done as.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.login = Some(Login::of_user(name.to_owned(), Secret::new(password.to_owned())));
        self
    }

    /// A JSON Web Token to show in place of a user and a password.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(Secret::new(token.to_owned()));
        self
    }

    /// How long one call may take; 5 s unless given.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.times.command = timeout;
        self
    }

    /// How long it may take to connect; 2 s unless given.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.times.dial = timeout;
        self
    }

    /// The client. Connects to nothing yet.
    ///
    /// # Errors
    /// An endpoint cannot be, a file with a certificate is of no use, or the token cannot be sent.
    pub fn open(self) -> Result<Client, ClientError> {
        let login = match self.token {
            Some(token) => Some(Login::of_token(token.expose().clone())?),
            None => self.login,
        };
        let security = Security::new(self.tls, true);
        Ok(Client::new(&self.endpoints, &security, self.times)?.with_login(login))
    }
}
