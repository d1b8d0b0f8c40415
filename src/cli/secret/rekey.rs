//! `stead secret rekey|generate-root|rotate`: what people with shares do together, and the key that encrypts.
//!
//! An attempt belongs to one node. Never shows a share that was given.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::ask::{Session, hidden, note_of_keeping};
use super::seal::{share, shown};
use super::show;
use crate::base::clock;
use crate::cli::exit::CliError;
use crate::cli::output::Format;
use crate::client::Client;
use crate::proto::secrets::{
    AttemptStatus, BeginRekeyRequest, BeginRootRequest, CancelRekeyRequest, CancelRootRequest, OfferRequest,
    RekeyResponse, RekeyStatusRequest, RekeyVerificationStatusRequest, RestartRekeyVerificationRequest,
    RootStatusRequest,
};

/// The characters of a one-time password.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The arguments of `stead secret rekey`.
#[derive(Debug, Clone, Args)]
pub(super) struct Rekey {
    #[command(subcommand)]
    command: RekeyCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum RekeyCommand {
    /// Begin to change the shares
    #[command(after_help = "Examples:
  stead secret rekey begin --shares 5 --threshold 3
  stead secret rekey begin --shares 5 --threshold 3 --verify")]
    Begin {
        /// New shares
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=255))]
        shares: u32,
        /// How many of them will be needed
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=255))]
        threshold: u32,
        /// Keep the present shares until as many new ones as will be needed were given back (rekey verify)
        #[arg(long)]
        verify: bool,
    },
    /// Give one of the present shares; the last that is needed gives the new ones
    #[command(after_help = "Examples:\n  stead secret rekey offer 3f0a3d1c-6a53-4c11-a1f8-3f20f7a1b1d2")]
    Offer(Offer),
    /// Give one of the new shares, where they are to be verified; the last that is needed puts them in use
    #[command(after_help = "Examples:
  stead secret rekey verify a41c0bb5-23c1-4b07-8a0c-3d0e4f6a7b12
  stead secret rekey verify --status
  stead secret rekey verify --restart")]
    Verify(Verify),
    /// Show how far it is
    #[command(after_help = "Examples:\n  stead secret rekey status")]
    Status,
    /// Give it up; the present shares stay
    #[command(after_help = "Examples:\n  stead secret rekey cancel")]
    Cancel,
}

/// The arguments of `stead secret rekey verify`.
#[derive(Debug, Clone, Args)]
struct Verify {
    #[command(flatten)]
    offer: Option<Offer>,
    /// Show how far it is
    #[arg(long, conflicts_with_all = ["nonce", "share", "share_file"], required_unless_present_any = ["nonce", "restart"])]
    status: bool,
    /// Drop the new shares that were given, and go on under another nonce
    #[arg(long, conflicts_with_all = ["nonce", "share", "share_file", "status"])]
    restart: bool,
}

/// The arguments of `stead secret generate-root`.
#[derive(Debug, Clone, Args)]
pub(super) struct GenerateRoot {
    #[command(subcommand)]
    command: RootCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum RootCommand {
    /// Begin to make a root token; shows the one-time password that decodes it
    #[command(after_help = "Examples:\n  stead secret generate-root begin")]
    Begin,
    /// Give a share; the last that is needed gives the encoded token
    #[command(
        after_help = "Examples:\n  stead secret generate-root offer 3f0a3d1c-6a53-4c11-a1f8-3f20f7a1b1d2"
    )]
    Offer(Offer),
    /// Show how far it is
    #[command(after_help = "Examples:\n  stead secret generate-root status")]
    Status,
    /// Give it up
    #[command(after_help = "Examples:\n  stead secret generate-root cancel")]
    Cancel,
    /// Decode the token with the one-time password
    #[command(after_help = "Examples:
  stead secret generate-root decode SGVsbG8 --password-file password.txt
  stead secret generate-root decode SGVsbG8")]
    Decode {
        /// The encoded token
        encoded: String,
        /// File with the one-time password; without it, it is asked for
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
}

/// The share that is given.
#[derive(Debug, Clone, Args)]
struct Offer {
    /// The attempt, as `begin` and `status` show it
    nonce: String,
    /// The share; without it, it is asked for; -: it is read from the standard input
    share: Option<String>,
    /// File with the share
    #[arg(long, conflicts_with = "share")]
    share_file: Option<PathBuf>,
}

impl Offer {
    fn request(&self) -> Result<OfferRequest, CliError> {
        let text = hidden("share", self.share.as_deref(), self.share_file.as_deref())?;
        Ok(OfferRequest {
            share: bytes::Bytes::copy_from_slice(&share(&text)?),
            nonce: self.nonce.clone(),
        })
    }
}

impl Rekey {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let status = match &self.command {
            RekeyCommand::Begin {
                shares,
                threshold,
                verify,
            } => {
                let request = BeginRekeyRequest {
                    shares: *shares,
                    threshold: *threshold,
                    requires_verification: *verify,
                };
                client
                    .write(|node| async move { node.seal().begin_rekey(request).await })
                    .await?
            }
            RekeyCommand::Status => {
                client
                    .read(|node| async move { node.seal().rekey_status(RekeyStatusRequest {}).await })
                    .await?
            }
            RekeyCommand::Cancel => {
                client
                    .write(|node| async move { node.seal().cancel_rekey(CancelRekeyRequest {}).await })
                    .await?;
                return format.note("given up", || json!({"canceled": true}));
            }
            RekeyCommand::Offer(offer) => {
                let request = offer.request()?;
                let made = client
                    .write(|node| {
                        let request = request.clone();
                        async move { node.seal().offer_to_rekey(request).await }
                    })
                    .await?;
                match made.waiting {
                    Some(status) => status,
                    None => return show_shares(format, &made),
                }
            }
            RekeyCommand::Verify(verify) => match verify.ask(client).await? {
                Some(status) => status,
                None => {
                    return format.note(
                        "the new shares are in use; the old ones unseal nothing any more",
                        || json!({"verified": true}),
                    );
                }
            },
        };
        show_attempt(format, &status, None)
    }
}

impl Verify {
    /// How far it is; none: it is done.
    async fn ask(&self, client: &Client) -> Result<Option<AttemptStatus>, CliError> {
        if let Some(offer) = &self.offer {
            let request = offer.request()?;
            let verified = client
                .write(|node| {
                    let request = request.clone();
                    async move { node.seal().verify_rekey(request).await }
                })
                .await?;
            return Ok(verified.waiting);
        }
        let status = if self.restart {
            client
                .write(|node| async move {
                    let request = RestartRekeyVerificationRequest {};
                    node.seal().restart_rekey_verification(request).await
                })
                .await?
        } else {
            client
                .read(|node| async move {
                    let request = RekeyVerificationStatusRequest {};
                    node.seal().rekey_verification_status(request).await
                })
                .await?
        };
        Ok(Some(status))
    }
}

fn show_shares(format: Format, made: &RekeyResponse) -> Result<(), CliError> {
    let shares: Vec<String> = made.shares.iter().map(|share| shown(share)).collect();
    let numbered = (1..).zip(&shares);
    let mut lines: Vec<String> = numbered
        .map(|(number, share): (usize, _)| format!("share {number}\t{share}"))
        .collect();
    if made.verification_nonce.is_empty() {
        format.note(&lines.join("\n"), || json!({"shares": shares}))?;
        return Ok(note_of_keeping(
            "These are shown once. The old shares unseal nothing any more.",
        )?);
    }
    let nonce = &made.verification_nonce;
    lines.push(format!("to be verified\t{nonce}"));
    format.note(
        &lines.join("\n"),
        || json!({"shares": shares, "verification_nonce": nonce}),
    )?;
    Ok(note_of_keeping(&format!(
        "These are shown once. Keep the old shares until these are verified: stead secret rekey verify {nonce}",
    ))?)
}

impl GenerateRoot {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// It was refused, or what is to be decoded was not encoded with that password.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let status = async || {
            client
                .read(|node| async move { node.seal().root_status(RootStatusRequest {}).await })
                .await
        };
        match &self.command {
            RootCommand::Begin => {
                let length = status().await?.password_length;
                let password = one_time_password(length)?;
                let begun = client
                    .write(|node| {
                        let password = password.to_string();
                        async move { node.seal().begin_root(BeginRootRequest { password }).await }
                    })
                    .await?;
                show_attempt(format, &begun, Some(&password))
            }
            RootCommand::Status => show_attempt(format, &status().await?, None),
            RootCommand::Cancel => {
                client
                    .write(|node| async move { node.seal().cancel_root(CancelRootRequest {}).await })
                    .await?;
                format.note("given up", || json!({"canceled": true}))
            }
            RootCommand::Offer(offer) => {
                let request = offer.request()?;
                let made = client
                    .write(|node| {
                        let request = request.clone();
                        async move { node.seal().offer_to_root(request).await }
                    })
                    .await?;
                match &made.waiting {
                    Some(status) => show_attempt(format, status, None),
                    None => format.note(
                        &format!("encoded token\t{}", made.encoded),
                        || json!({"encoded_token": made.encoded}),
                    ),
                }
            }
            RootCommand::Decode {
                encoded,
                password_file,
            } => {
                let password = hidden("one-time password", None, password_file.as_deref())?;
                let token = decoded(encoded, &password)?;
                format.note(&token, || json!({"token": *token}))
            }
        }
    }
}

/// A password of so many letters and digits, each as likely.
fn one_time_password(length: u32) -> Result<Zeroizing<String>, CliError> {
    let failed = |error| CliError::failure(format!("the system gives no random bytes: {error}"));
    let mut password = Zeroizing::new(String::new());
    let wanted = usize::try_from(length).unwrap_or(0);
    while password.len() < wanted {
        let mut byte = Zeroizing::new([0_u8]);
        clock::fill_from_system(&mut *byte).map_err(failed)?;
        // Six bits name one of 64; what is none of the 62 is drawn again.
        let letter = byte.first().and_then(|byte| ALPHABET.get(usize::from(byte & 63)));
        password.extend(letter.map(|letter| char::from(*letter)));
    }
    Ok(password)
}

fn decoded(encoded: &str, password: &str) -> Result<Zeroizing<String>, CliError> {
    let wrong = || CliError::invalid("the encoded token and the one-time password do not belong together");
    let bytes = STANDARD_NO_PAD
        .decode(encoded.trim().trim_end_matches('='))
        .map_err(|_| wrong())?;
    let bytes = Zeroizing::new(bytes);
    if bytes.len() != password.len() {
        return Err(wrong());
    }
    let plain: Vec<u8> = bytes
        .iter()
        .zip(password.bytes())
        .map(|(one, other)| one ^ other)
        .collect();
    let token = Zeroizing::new(String::from_utf8(plain).map_err(|_| wrong())?);
    if token.chars().all(|character| character.is_ascii_graphic()) {
        Ok(token)
    } else {
        Err(wrong())
    }
}

fn show_attempt(format: Format, status: &AttemptStatus, password: Option<&str>) -> Result<(), CliError> {
    let mut lines = if status.is_started {
        vec![
            format!("attempt\t{}", status.nonce),
            format!("shares given\t{} of {}", status.given, status.needed),
        ]
    } else {
        vec!["nothing is under way".to_owned()]
    };
    if status.new_shares > 0 {
        lines.push(format!(
            "new shares\t{}, of which {} are needed",
            status.new_shares, status.new_threshold
        ));
    }
    if !status.verification_nonce.is_empty() {
        lines.push(format!("to be verified\t{}", status.verification_nonce));
    }
    lines.extend(password.map(|password| format!("one-time password\t{password}")));
    format.note(&lines.join("\n"), || {
        let mut value = json!({
            "started": status.is_started,
            "nonce": status.nonce,
            "given": status.given,
            "needed": status.needed,
            "new_shares": status.new_shares,
            "new_threshold": status.new_threshold,
            "requires_verification": status.requires_verification,
            "verification_nonce": status.verification_nonce,
        });
        if let (Some(password), Some(fields)) = (password, value.as_object_mut()) {
            fields.insert("one_time_password".to_owned(), Value::from(password));
        }
        value
    })
}

/// Encrypts what is written from now on with a new key.
///
/// # Errors
/// The token may not do that.
pub(super) async fn rotate(session: &Session) -> Result<(), CliError> {
    let answer = session.write("sys/rotate", &json!({})).await?;
    show::answer(
        session.format,
        &answer,
        "what is written from now on is encrypted with a new key",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_decoded_with_its_password_alone() {
        let (token, password) = ("hvs.abcdefgh", "ABCDEFabcdef");
        let xored: Vec<u8> = token
            .bytes()
            .zip(password.bytes())
            .map(|(one, other)| one ^ other)
            .collect();
        let encoded = STANDARD_NO_PAD.encode(xored);
        assert_eq!(decoded(&encoded, password).unwrap().as_str(), token);
        for password in ["ABCDEFabcde", "\u{80}CDEFabcdef", ""] {
            let error = decoded(&encoded, password).unwrap_err();
            assert!(error.message.contains("do not belong together"), "{error}");
        }
    }

    #[test]
    fn a_one_time_password_has_its_length_and_letters_and_digits_only() {
        let password = one_time_password(28).unwrap();
        assert_eq!(password.len(), 28);
        assert!(password.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one_time_password(28).unwrap(), password);
    }
}
