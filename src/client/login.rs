//! Who a client is: a user with a password, or a token that came from elsewhere.
//!
//! The token is asked for once, before the first call, and again when the server does not take it any more. Never prints a
//! password or a token.

use std::sync::Arc;

use parking_lot::Mutex;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::{Code, Request, Status};

use super::error::ClientError;
use super::node::Node;
use crate::base::secret::Secret;
use crate::proto::etcdserverpb::AuthenticateRequest;

/// The metadata key of a token.
pub(crate) const TOKEN: &str = "token";
/// What a server says that needs no token.
const NOT_ENABLED: &str = "etcdserver: authentication is not enabled";
/// What a server says of a wrong password, and of a user who is not there.
const BAD_LOGIN: &str = "etcdserver: authentication failed, invalid user ID or password";
/// What a server says of a token from before the last change of users and roles.
const OLD_REVISION: &str = "etcdserver: revision of auth store is old";

/// A user with a password, and the token of the server; or a token that came from elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    /// Whom the token is asked for; none if it cannot be asked for.
    pub(crate) user: Option<(String, Secret<String>)>,
    token: Token,
}

impl Login {
    /// A user with a password, for which a token is asked.
    pub(crate) fn of_user(name: String, password: Secret<String>) -> Self {
        Self {
            user: Some((name, password)),
            token: Token::default(),
        }
    }

    /// Somebody with a token from elsewhere.
    ///
    /// # Errors
    /// It has characters that no token has.
    pub(crate) fn of_token(token: String) -> Result<Self, ClientError> {
        let mut token = AsciiMetadataValue::try_from(token).map_err(|_| ClientError::BadToken)?;
        token.set_sensitive(true);
        Ok(Self {
            user: None,
            token: Token(Arc::new(Mutex::new(State::Given(token)))),
        })
    }

    /// What goes along with every call.
    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    /// Asks for a token, unless there is one.
    ///
    /// # Errors
    /// The server did not answer, or does not accept the password.
    pub(crate) async fn ensure(&self, node: &Node) -> Result<(), Status> {
        if matches!(*self.token.0.lock(), State::Given(_) | State::NotNeeded) {
            return Ok(());
        }
        let Some((name, password)) = &self.user else {
            return Ok(());
        };
        let request = AuthenticateRequest {
            name: name.clone(),
            password: password.expose().clone(),
        };
        let state = match node.auth_without_token().authenticate(request).await {
            Ok(answer) => {
                let token = answer.into_inner().token;
                let mut token = AsciiMetadataValue::try_from(token)
                    .map_err(|_| Status::internal("the server's token cannot be sent back"))?;
                token.set_sensitive(true);
                State::Given(token)
            }
            Err(status) if status.message() == NOT_ENABLED => State::NotNeeded,
            Err(status) => return Err(status),
        };
        *self.token.0.lock() = state;
        Ok(())
    }

    /// Forgets the token, if another can be asked for.
    pub(crate) fn forget(&self) {
        if self.user.is_some() {
            *self.token.0.lock() = State::Missing;
        }
    }
}

/// Whether a server would take a newer token.
pub(crate) fn wants_new_token(status: &Status) -> bool {
    status.code() == Code::Unauthenticated || status.message() == OLD_REVISION
}

/// Whether a server does not take the user and the password.
pub(crate) fn is_bad_login(status: &Status) -> bool {
    status.message() == BAD_LOGIN
}

/// A token that is added to calls once it is there. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Token(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Missing,
    NotNeeded,
    Given(AsciiMetadataValue),
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let State::Given(token) = &*self.0.lock() {
            request.metadata_mut().insert(TOKEN, token.clone());
        }
        Ok(request)
    }
}
