//! Who the client is: `--user` and `--password`, or `--auth-jwt-token`.
//!
//! A password that is not given is asked for on the terminal, without showing it. Never asks a server anything.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::exit::{CliError, Exit};
use crate::base::secret::Secret;
use crate::client::login::Login;

/// Who the user is.
#[derive(Debug, Args)]
pub(super) struct LoginArguments {
    /// User, as name or name:password (also from ETCDCTL_USER); a missing password is asked for
    #[arg(
        long = "user",
        id = "login_user",
        value_name = "NAME[:PASSWORD]",
        global = true,
        env = "STEAD_USER",
        hide_env_values = true
    )]
    user: Option<String>,
    /// Password of --user, which then is a name only (also from ETCDCTL_PASSWORD)
    #[arg(
        long = "password",
        id = "login_password",
        value_name = "PASSWORD",
        global = true,
        env = "STEAD_PASSWORD",
        hide_env_values = true
    )]
    password: Option<String>,
    /// JSON Web Token to show in place of a user and a password (also from ETCDCTL_AUTH_JWT_TOKEN)
    #[arg(
        long,
        value_name = "TOKEN",
        global = true,
        env = "STEAD_AUTH_JWT_TOKEN",
        hide_env_values = true
    )]
    auth_jwt_token: Option<String>,
}

impl LoginArguments {
    /// The login that they ask for.
    ///
    /// # Errors
    /// A password without a user, one that cannot be read, or a token beside a user.
    pub(super) fn login(&self) -> Result<Option<Login>, CliError> {
        let or_environment = |given: &Option<String>, name: &str| {
            given
                .clone()
                .or_else(|| std::env::var(name).ok())
                .filter(|text| !text.is_empty())
        };
        let user = or_environment(&self.user, "ETCDCTL_USER");
        let password = or_environment(&self.password, "ETCDCTL_PASSWORD");
        match or_environment(&self.auth_jwt_token, "ETCDCTL_AUTH_JWT_TOKEN") {
            None => login("--", user, password),
            Some(_) if user.is_some() || password.is_some() => Err(CliError::invalid(
                "--auth-jwt-token stands in place of --user and --password: give one of the two",
            )),
            Some(token) => Ok(Some(Login::of_token(token)?)),
        }
    }
}

/// The user at the destination of a mirror. No variables stand for it, as in etcdctl.
#[derive(Debug, Clone, Args)]
pub(super) struct DestinationLogin {
    /// User at the destination, as name or name:password; a missing password is asked for
    #[arg(long, value_name = "NAME[:PASSWORD]")]
    dest_user: Option<String>,
    /// Password of --dest-user, which then is a name only
    #[arg(long, value_name = "PASSWORD")]
    dest_password: Option<String>,
}

impl DestinationLogin {
    /// The login that they ask for.
    ///
    /// # Errors
    /// A password without a user, or one that cannot be read.
    pub(super) fn login(&self) -> Result<Option<Login>, CliError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        login("--dest-", given(&self.dest_user), given(&self.dest_password))
    }
}

/// The login of a user; `flags`: what the names of the flags begin with.
fn login(flags: &str, user: Option<String>, password: Option<String>) -> Result<Option<Login>, CliError> {
    let (user, password) = match (user, password) {
        (None, None) => return Ok(None),
        (None, Some(_)) => {
            return Err(CliError::invalid(format!(
                "{flags}password needs {flags}user: write {flags}user=name"
            )));
        }
        (Some(user), Some(password)) => (user, Secret::new(password)),
        (Some(user), None) => match split(&user) {
            Some((name, password)) => (name.to_owned(), password),
            None => {
                let password = ask_password("Password: ")?;
                (user, password)
            }
        },
    };
    Ok(Some(Login::of_user(user, password)))
}

/// `name:password`, taken apart.
pub(super) fn split(text: &str) -> Option<(&str, Secret<String>)> {
    let (name, password) = text.split_once(':')?;
    Some((name, Secret::new(password.to_owned())))
}

/// Asks for a password on the terminal without showing it; takes a line of the input if that is no terminal.
///
/// # Errors
/// There is nothing to read, or the terminal cannot be used.
pub(super) fn ask_password(prompt: &str) -> Result<Secret<String>, CliError> {
    let input = io::stdin();
    let mut lock = input.lock();
    let hidden = if input.is_terminal() {
        write!(io::stderr(), "{prompt}")?;
        io::stderr().flush()?;
        Some(Hidden::begin()?)
    } else {
        None
    };
    let mut line = Zeroizing::new(String::new());
    lock.read_line(&mut line)?;
    if hidden.is_some() {
        drop(hidden);
        writeln!(io::stderr())?;
    }
    if line.is_empty() {
        return Err(unusable(
            "empty password: the input ended before it; give it with its flag, or as name:password",
        ));
    }
    Ok(Secret::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A name or password that cannot be; etcdctl counts it as a wrong command line.
pub(super) fn unusable(message: &str) -> CliError {
    CliError::new(Exit::InvalidArgument, message)
}

/// The terminal does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> Result<Self, CliError> {
        let failed = |error: rustix::io::Errno| CliError::from(io::Error::from(error));
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // The terminal may be gone; then nobody sees the difference.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use tonic::Request;
    use tonic::service::Interceptor as _;

    use super::*;
    use crate::client::login::TOKEN;

    fn arguments(user: Option<&str>, password: Option<&str>) -> LoginArguments {
        LoginArguments {
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
            auth_jwt_token: None,
        }
    }

    #[test]
    fn a_token_stands_in_place_of_a_user_and_is_not_printed() {
        let with = |user| LoginArguments {
            auth_jwt_token: Some("hunter2".to_owned()),
            ..arguments(user, None)
        };
        let login = with(None).login().unwrap().unwrap();
        login.forget();
        let mut token = login.token().clone();
        let request = token.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get(TOKEN).unwrap(), "hunter2");
        assert!(!format!("{login:?} {request:?}").contains("hunter2"));
        assert!(with(Some("alice:pw")).login().is_err());
    }

    #[test]
    fn the_password_is_behind_the_first_colon_unless_it_is_given_apart() {
        let login = |user, password| {
            let login = arguments(user, password).login().unwrap().unwrap();
            let (user, password) = login.user.unwrap();
            (user, password.expose().clone())
        };
        let pair = |user: &str, password: &str| (user.to_owned(), password.to_owned());
        assert_eq!(login(Some("alice:a:b"), None), pair("alice", "a:b"));
        assert_eq!(login(Some("alice:"), None), pair("alice", ""));
        assert_eq!(login(Some("alice:x"), Some("y")), pair("alice:x", "y"));
        assert!(arguments(None, None).login().unwrap().is_none());
        assert!(arguments(None, Some("y")).login().is_err());
    }

    #[test]
    fn a_destination_has_a_user_of_its_own_from_its_own_flags() {
        let of = |user: Option<&str>, password: Option<&str>| {
            let arguments = DestinationLogin {
                dest_user: user.map(str::to_owned),
                dest_password: password.map(str::to_owned),
            };
            arguments.login()
        };
        assert!(of(None, None).unwrap().is_none());
        let login = of(Some("bob:pw"), None).unwrap().unwrap();
        let (user, password) = login.user.unwrap();
        assert_eq!((user.as_str(), password.expose().as_str()), ("bob", "pw"));
        let error = of(None, Some("pw")).unwrap_err();
        assert!(
            error.message.contains("--dest-password needs --dest-user"),
            "{error}"
        );
    }

    #[test]
    fn a_password_is_not_in_what_is_printed_of_a_login() {
        let login = arguments(Some("alice"), Some("hunter2")).login().unwrap();
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
