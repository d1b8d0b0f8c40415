//! `stead secret login`: logs in, and keeps the token for the commands to come.
//!
//! Asks for a password without showing it. Shows the token only where it is not kept.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::ask::{Session, hidden};
use super::{show, token_file};
use crate::cli::exit::CliError;
use crate::cli::output::Format;
use crate::client::Client;

/// The arguments of `stead secret login`.
#[derive(Debug, Clone, Args)]
pub(super) struct Login {
    /// Show the token, and do not keep it
    #[arg(long, global = true)]
    no_store: bool,
    /// Where the method is mounted, below auth/ [default: the name of the method]
    #[arg(long, global = true, value_name = "PATH")]
    mount: Option<String>,
    #[command(subcommand)]
    method: Method,
}

#[derive(Debug, Clone, Subcommand)]
enum Method {
    /// With a token that somebody gave
    #[command(after_help = "Examples:
  stead secret login token
  stead secret login token --of-file token.txt")]
    Token {
        /// File with the token; without it, it is asked for
        #[arg(long, value_name = "FILE")]
        of_file: Option<PathBuf>,
    },
    /// With a name and a password
    #[command(after_help = "Examples:
  stead secret login userpass alice
  stead secret login userpass alice --password-file password.txt --mount people")]
    Userpass {
        /// The name
        name: String,
        /// File with the password; without it, it is asked for
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
    /// With the ids of a role
    #[command(after_help = "Examples:
  stead secret login approle --role-id-file role.txt --secret-id-file secret.txt
  stead secret login approle 59d6d1ca-47bb-4e7e-a40b-8be3bc5a0ba8")]
    Approle {
        /// The id of the role
        role_id: Option<String>,
        /// File with the id of the role
        #[arg(long, conflicts_with = "role_id")]
        role_id_file: Option<PathBuf>,
        /// File with the secret id; without it, it is asked for
        #[arg(long)]
        secret_id_file: Option<PathBuf>,
    },
    /// With the certificate of --cert and --key
    #[command(after_help = "Examples:
  stead secret login cert --cert app.pem --key app.key --cacert ca.pem")]
    Cert {
        /// The role, where several fit
        #[arg(long)]
        role: Option<String>,
    },
    /// With a JSON Web Token
    #[command(after_help = "Examples:
  stead secret login jwt --role app --jwt-file token.jwt
  stead secret login jwt --role app --mount kubernetes --jwt-file /var/run/secrets/kubernetes.io/serviceaccount/token")]
    Jwt {
        /// The role
        #[arg(long)]
        role: Option<String>,
        /// File with the token; without it, it is asked for
        #[arg(long)]
        jwt_file: Option<PathBuf>,
    },
}

impl Method {
    fn name(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::Userpass { .. } => "userpass",
            Self::Approle { .. } => "approle",
            Self::Cert { .. } => "cert",
            Self::Jwt { .. } => "jwt",
        }
    }
}

impl Login {
    /// Logs in, and keeps the token.
    ///
    /// # Errors
    /// It was refused, or the token cannot be kept.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        // A token that is there already is not shown: the login must do without.
        let nobody = Session::with_token(client, format, None)?;
        let mount = self
            .mount
            .as_deref()
            .unwrap_or(self.method.name())
            .trim_matches('/');
        let login = |rest: &str| format!("auth/{mount}/login{rest}");
        let (path, body) = match &self.method {
            Method::Token { of_file } => return self.with_token(client, format, of_file.as_ref()).await,
            Method::Userpass { name, password_file } => {
                let password = hidden("password", None, password_file.as_deref())?;
                (login(&format!("/{name}")), json!({"password": *password}))
            }
            Method::Approle {
                role_id,
                role_id_file,
                secret_id_file,
            } => {
                let role = match role_id {
                    Some(role) => Zeroizing::new(role.clone()),
                    None => hidden("role id", None, role_id_file.as_deref())?,
                };
                let secret = hidden("secret id", None, secret_id_file.as_deref())?;
                (login(""), json!({"role_id": *role, "secret_id": *secret}))
            }
            Method::Cert { role } => (
                login(""),
                role.as_ref()
                    .map_or_else(|| json!({}), |role| json!({"name": role})),
            ),
            Method::Jwt { role, jwt_file } => {
                let token = hidden("JSON Web Token", None, jwt_file.as_deref())?;
                let mut body = json!({"jwt": *token});
                if let (Some(role), Some(fields)) = (role, body.as_object_mut()) {
                    fields.insert("role".to_owned(), Value::from(role.as_str()));
                }
                (login(""), body)
            }
        };
        let answer = nobody.write(&path, &body).await?;
        show::warn(&answer)?;
        let Some(auth) = &answer.auth else {
            return Err(CliError::failure(format!("{path} gave no token")));
        };
        let mut lines = show::auth_lines(auth, self.no_store);
        if !self.no_store {
            lines.push(format!("kept in\t{}", token_file::keep(&auth.token)?.display()));
        }
        format.note(&lines.join("\n"), || show::AnswerView::of(&answer))
    }

    /// A token that is there is looked up, so that one that is none is not kept.
    async fn with_token(
        &self,
        client: &Client,
        format: Format,
        file: Option<&PathBuf>,
    ) -> Result<(), CliError> {
        let token = hidden("token", None, file.map(PathBuf::as_path))?;
        let session = Session::with_token(client, format, Some(token.clone()))?;
        let answer = session.secrets.read("auth/token/lookup-self", "").await?;
        let mut fields = show::fields(&answer.data);
        // It is the token itself.
        fields.remove("id");
        let mut lines = show::lines(&fields);
        if !self.no_store {
            lines.push(format!("kept in\t{}", token_file::keep(&token)?.display()));
        }
        format.note(&lines.join("\n"), || &fields)
    }
}
