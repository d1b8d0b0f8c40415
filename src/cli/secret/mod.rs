//! `stead secret`: keeps secrets, shows them, and gives them to programs.
//!
//! An answer goes to standard output, all else to standard error. Paths are whole paths, with the mount in front; where the
//! engine keeps versions, `data/` and the like are put in by the command. Never shows a token where nobody asked for one,
//! and never takes a password or a token from where others could see it without saying so.

mod administer;
mod ask;
mod audit;
mod file;
mod follow;
mod input;
mod keep;
mod lease;
mod login;
mod place;
mod policy;
mod raw;
mod rekey;
mod run;
mod seal;
mod seals;
mod show;
mod template;
mod token;
mod token_file;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use self::administer::Mounts;
use self::ask::Session;
use self::audit::Audit;
use super::exit::CliError;
use super::output::Format;
use crate::client::Client;

/// The arguments of `stead secret`.
#[derive(Debug, Clone, Args)]
pub(super) struct Secret {
    /// File with the token [default: STEAD_TOKEN, else VAULT_TOKEN, else ~/.stead-token]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum SecretCommand {
    /// Initialize the store: make its keys and a root token, and unseal the node that is asked
    #[command(after_help = "The shares and the token are shown once, and kept nowhere.

Examples:
  stead secret init
  stead secret init --shares 3 --threshold 2 -o json")]
    Init(seal::Init),
    /// Give a share to every endpoint, to unseal them
    #[command(after_help = "Examples:
  stead secret unseal
  stead secret unseal --share-file share1.txt --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379
  stead secret unseal --reset")]
    Unseal(seal::Unseal),
    /// Seal the node that is asked: it forgets the keys
    #[command(after_help = "Examples:
  stead secret seal --endpoints 10.0.0.1:2379")]
    Seal,
    /// Show how the seal of every endpoint is; ends with 2 if one is sealed
    #[command(after_help = "Examples:
  stead secret status
  stead secret status -o json --endpoints 10.0.0.1:2379")]
    Status,
    /// Write a secret: a new version, where there are versions
    #[command(
        after_help = "A value that begins with @ is written \\@...; one that is - is written \\-.

Examples:
  stead secret put secret/db/app password=@password.txt user=app
  stead secret put secret/db/app password=- < password.txt
  stead secret put secret/db/app @app.json --cas 3
  stead secret put secret/db/app - < app.json"
    )]
    Put(keep::Put),
    /// Change some fields of a secret
    #[command(after_help = "Examples:
  stead secret patch secret/db/app password=@password.txt
  stead secret patch secret/db/app - < change.json")]
    Patch(keep::Put),
    /// Show a secret, or a field of it
    #[command(after_help = "Examples:
  stead secret get secret/db/app
  stead secret get secret/db/app --field password
  stead secret get secret/db/app --at-version 2 -o json")]
    Get(keep::Get),
    /// List what is below a path
    #[command(after_help = "Examples:
  stead secret list secret/
  stead secret list secret/db -o json")]
    List(keep::PathOf),
    /// Delete the newest version, or some, so that they can be had back
    #[command(after_help = "Examples:
  stead secret delete secret/db/app
  stead secret delete secret/db/app --versions 1,2")]
    Delete(keep::Delete),
    /// Have back deleted versions
    #[command(after_help = "Examples:
  stead secret undelete secret/db/app --versions 2")]
    Undelete(keep::Versions),
    /// Destroy versions for good
    #[command(after_help = "Examples:
  stead secret destroy secret/db/app --versions 1,2")]
    Destroy(keep::Versions),
    /// Show, change and delete what is known of a secret
    #[command(after_help = "Examples:
  stead secret metadata get secret/db/app
  stead secret metadata put secret/db/app --max-versions 5 --custom owner=alice
  stead secret metadata delete secret/db/app")]
    Metadata(keep::Metadata),
    /// Encrypt what is written from now on with a new key
    #[command(after_help = "Examples:
  stead secret rotate")]
    Rotate,
    /// Show the seals that open the root key, or have the node that is asked replace them by those of its settings
    #[command(
        after_help = "The node that is asked goes by its own --secrets-seal: name one endpoint. To replace a seal, start a node with the new
one in --secrets-seal, unseal it with shares if it stays sealed, and apply; then start the others with it.
What shares open is kept. A backup from before is still opened by the seals of then.

Examples:
  stead secret seals
  stead secret seals -o json --endpoints 10.0.0.1:2379
  stead secret seals --apply --endpoints 10.0.0.1:2379
  stead secret seals --apply --keep-others --endpoints 10.0.0.1:2379"
    )]
    Seals(seals::Seals),
    /// Change the shares that unseal
    #[command(after_help = "All shares go to one node: name one endpoint.

Examples:
  stead secret rekey begin --shares 5 --threshold 3 --verify
  stead secret rekey offer 3f0a3d1c-6a53-4c11-a1f8-3f20f7a1b1d2
  stead secret rekey verify a41c0bb5-23c1-4b07-8a0c-3d0e4f6a7b12
  stead secret rekey status
  stead secret rekey cancel")]
    Rekey(rekey::Rekey),
    /// Make a root token with the shares
    #[command(after_help = "All shares go to one node: name one endpoint.

Examples:
  stead secret generate-root begin
  stead secret generate-root offer 3f0a3d1c-6a53-4c11-a1f8-3f20f7a1b1d2
  stead secret generate-root decode ENCODED
  stead secret generate-root cancel")]
    GenerateRoot(rekey::GenerateRoot),
    /// Show and change policies
    #[command(after_help = "Examples:
  stead secret policy put app app.hcl
  stead secret policy get app
  stead secret policy list")]
    Policy(policy::Policy),
    /// Make, show, renew and revoke tokens
    #[command(after_help = "Examples:
  stead secret token create --policy app --ttl 1h
  stead secret token lookup
  stead secret token capabilities secret/data/db/app")]
    Token(token::Token),
    /// Log in, and keep the token in ~/.stead-token
    #[command(after_help = "Examples:
  stead secret login token
  stead secret login userpass alice
  stead secret login approle --role-id-file role.txt --secret-id-file secret.txt")]
    Login(login::Login),
    /// Turn audit devices on and off, and check what they wrote
    #[command(after_help = "Examples:
  stead secret audit enable file --at file --option file_path=/var/log/stead-audit.log
  stead secret audit list
  stead secret audit verify /var/log/stead-audit.log")]
    Audit(Audit),
    /// Mount engines of secrets
    #[command(after_help = "Examples:
  stead secret mount enable kv --at secret --option version=2
  stead secret mount list
  stead secret mount disable secret")]
    Mount(Mounts),
    /// Mount methods of logging in
    #[command(after_help = "Examples:
  stead secret auth enable userpass
  stead secret auth list
  stead secret auth disable userpass")]
    Auth(Mounts),
    /// Read a path as it is
    #[command(after_help = "Examples:
  stead secret read auth/token/lookup-self
  stead secret read sys/policies/acl/app --field policy
  stead secret read secret/data/db/app --wrap-ttl 5m")]
    Read(raw::Read),
    /// Write to a path as it is
    #[command(after_help = "Examples:
  stead secret write auth/userpass/users/alice password=- token_policies=app < password.txt
  stead secret write -o json transit/encrypt/app @plain.json")]
    Write(raw::Write),
    /// List a path as it is
    #[command(after_help = "Examples:
  stead secret list-path auth/userpass/users")]
    ListPath(keep::PathOf),
    /// Delete a path as it is
    #[command(after_help = "Examples:
  stead secret delete-path auth/userpass/users/alice")]
    DeletePath(keep::PathOf),
    /// Wrap data, for somebody with the token that this gives
    #[command(after_help = "Examples:
  stead secret wrap --ttl 5m password=@password.txt")]
    Wrap(lease::Wrap),
    /// Unwrap what was wrapped; can be done once
    #[command(after_help = "Examples:
  stead secret unwrap < token.txt")]
    Unwrap(lease::Unwrap),
    /// Show, renew and revoke leases
    #[command(after_help = "Examples:
  stead secret lease lookup pki/issue/app/0a1b2c
  stead secret lease renew pki/issue/app/0a1b2c --increment 1h
  stead secret lease revoke pki/issue/app/0a1b2c")]
    Lease(lease::Lease),
    /// Run a program that is given secrets, and follow their changes
    #[command(
        after_help = "Files are kept in memory only: a name is that of a file in a folder of the program's own, which it finds
in STEAD_SECRETS_DIR; a whole path must lie on a memory file system, such as /dev/shm. They can be
read by this user alone, and are gone when the program has ended. Without #field, all fields are
given as JSON. When a secret changes, files are replaced; with --signal the program is told, with
--restart it is ended with SIGTERM and run again. SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 are passed
on. The exit code is that of the program.

Examples:
  stead secret run --env DB_PASSWORD=secret/db/app#password -- ./my-server --listen 8080
  stead secret run --file db.key=secret/db/app#key --signal HUP -- sh -c 'exec ./my-server $STEAD_SECRETS_DIR/db.key'
  stead secret run --env DB_PASSWORD=secret/db/app#password --restart -- ./my-server"
    )]
    Run(Box<run::Run>),
    /// Write a file from a template and secrets, and again when they change
    #[command(after_help = "The language: text, with expressions between {{ and }}.
  {{ secret \"secret/db/app\" \"password\" }}           a field: text as it is, everything else as JSON
  {{ secret \"secret/db/app\" }}                      all fields, as an object of JSON
  {{ secret \"secret/db/app\" \"password\" | shell }}   through filters: json, shell, url, base64, trim
  {{ env \"HOME\" }}                                  a variable of the environment
  {{ \"{{\" }}                                        text; \\\" \\\\ \\n \\t stand for what they do everywhere
  {{/* nothing */}}                                 a comment
  {{- ... -}}                                       without the white space before, or behind
The file can be read by this user alone. It is replaced as a whole, and only if its text is another.

Examples:
  stead secret template --in app.tmpl --out /run/app/app.conf --once
  stead secret template --in app.tmpl --out /run/app/app.conf --exec 'systemctl reload app'
  stead secret template --in app.tmpl --out /run/app/app.conf --signal-pid 4711")]
    Template(template::FromTemplate),
}

impl Secret {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// The call failed, what was given cannot be, or a program that was run failed.
    pub(super) async fn run(&self, client: Client, format: Format) -> Result<(), CliError> {
        use SecretCommand as C;
        let open = || Session::open(&client, format, self.token_file.as_deref());
        match &self.command {
            C::Init(init) => init.run(&client, format).await,
            C::Unseal(unseal) => unseal.run(&client, format).await,
            C::Status => seal::status(&client, format).await,
            C::Seal => seal::seal(&open()?).await,
            C::Seals(seals) => seals.run(&open()?).await,
            C::Rotate => rekey::rotate(&open()?).await,
            C::Rekey(rekey) => rekey.run(&client, format).await,
            C::GenerateRoot(root) => root.run(&client, format).await,
            C::Put(put) => put.put(&open()?).await,
            C::Patch(put) => put.patch(&open()?).await,
            C::Get(get) => get.run(&open()?).await,
            C::List(list) => list.list(&open()?).await,
            C::Delete(delete) => delete.run(&open()?).await,
            C::Undelete(versions) => versions.run(&open()?, "undelete").await,
            C::Destroy(versions) => versions.run(&open()?, "destroy").await,
            C::Metadata(metadata) => metadata.run(&open()?).await,
            C::Policy(policy) => policy.run(&open()?).await,
            C::Token(token) => token.run(&open()?).await,
            C::Login(login) => login.run(&client, format).await,
            C::Audit(audit) => audit.run(open, format).await,
            C::Mount(mounts) => mounts.run(&open()?, "sys/mounts").await,
            C::Auth(mounts) => mounts.run(&open()?, "sys/auth").await,
            C::Read(read) => read.run(&open()?).await,
            C::Write(write) => write.run(&open()?).await,
            C::ListPath(path) => path.list_raw(&open()?).await,
            C::DeletePath(path) => path.delete_raw(&open()?).await,
            C::Wrap(wrap) => wrap.run(&open()?).await,
            C::Unwrap(unwrap) => unwrap.run(&open()?).await,
            C::Lease(lease) => lease.run(&open()?).await,
            C::Run(run) => run.run(&open()?).await,
            C::Template(template) => template.run(&open()?).await,
        }
    }
}
