//! `stead secret init|unseal|seal|status`: the seals of the nodes.
//!
//! A share is read without showing it, and is never shown but when it is made.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::Status;
use zeroize::Zeroizing;

use super::ask::{Session, hidden, note_of_keeping};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Format;
use crate::client::node::Node;
use crate::client::{Client, text_of};
use crate::proto::secrets::{InitializeRequest, ResetRequest, SealStatus, SealStatusRequest, UnsealRequest};

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Digits of a share in hexadecimal: of 32 bytes or of 33.
const HEXADECIMAL_DIGITS: [usize; 2] = [64, 66];

/// How the store is initialized.
#[derive(Debug, Clone, Args)]
pub(super) struct Init {
    /// Shares of the key that unseals
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=255))]
    shares: u32,
    /// How many of them are needed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=255))]
    threshold: u32,
}

/// The share that is given.
#[derive(Debug, Clone, Args)]
pub(super) struct Unseal {
    /// The share; without it, it is asked for; -: it is read from the standard input
    share: Option<String>,
    /// File with the share
    #[arg(long, conflicts_with = "share")]
    share_file: Option<PathBuf>,
    /// Drop the shares that were given so far
    #[arg(long, conflicts_with_all = ["share", "share_file"])]
    reset: bool,
}

/// A share as people keep it: in base64 or hexadecimal.
///
/// # Errors
/// It is neither; the text does not repeat it.
pub(super) fn share(text: &str) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let text = text.trim();
    let bytes = if HEXADECIMAL_DIGITS.contains(&text.len()) {
        hexadecimal(text)
    } else {
        None
    };
    let bytes = bytes.or_else(|| BASE64.decode(text).ok());
    let bytes = bytes
        .ok_or_else(|| CliError::invalid("the share is neither base64 nor hexadecimal; copy all of it"))?;
    Ok(Zeroizing::new(bytes))
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(byte).collect()
}

/// A share for people.
pub(super) fn shown(share: &[u8]) -> String {
    STANDARD.encode(share)
}

impl Init {
    /// Initializes, and shows what is told once.
    ///
    /// # Errors
    /// It was initialized before, or the numbers cannot be.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let request = InitializeRequest {
            shares: self.shares,
            threshold: self.threshold,
        };
        let made = client
            .write(|node| async move { node.seal().initialize(request).await })
            .await?;
        let shares: Vec<String> = made.shares.iter().map(|share| shown(share)).collect();
        let mut lines: Vec<String> = (1..)
            .zip(&shares)
            .map(|(number, share): (usize, _)| format!("share {number}\t{share}"))
            .collect();
        lines.push(format!("root token\t{}", made.root_token));
        format.note(
            &lines.join("\n"),
            || json!({"shares": shares, "threshold": self.threshold, "root_token": made.root_token}),
        )?;
        Ok(note_of_keeping(&format!(
            "These are shown once. Give each share to somebody else: {} of them unseal a node. The node that was asked is \
             unsealed; unseal the others with `stead secret unseal`.",
            self.threshold
        ))?)
    }
}

/// What each endpoint says of its seal.
async fn ask_all<F>(client: &Client, call: impl Fn(Node) -> F) -> Vec<(String, Result<SealStatus, Status>)>
where
    F: Future<Output = Result<tonic::Response<SealStatus>, Status>>,
{
    let mut told = Vec::new();
    for node in client.nodes() {
        let answer = timeout(client.command_timeout(), call(node.clone())).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        told.push((node.endpoint.clone(), answer.map(tonic::Response::into_inner)));
    }
    told
}

impl Unseal {
    /// Gives the share to every endpoint, and shows how each is.
    ///
    /// # Errors
    /// The share is none, or an endpoint did not take it.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let told = if self.reset {
            ask_all(
                client,
                |node| async move { node.seal().reset(ResetRequest {}).await },
            )
            .await
        } else {
            let text = hidden("share", self.share.as_deref(), self.share_file.as_deref())?;
            let bytes = bytes::Bytes::copy_from_slice(&share(&text)?);
            ask_all(client, |node| {
                let request = UnsealRequest { share: bytes.clone() };
                async move { unseal(&node, request).await }
            })
            .await
        };
        show(format, &told)?;
        failed(&told)
    }
}

/// A node that is not sealed needs no share, and is asked how it is.
async fn unseal(node: &Node, request: UnsealRequest) -> Result<tonic::Response<SealStatus>, Status> {
    let status = node.seal().status(SealStatusRequest {}).await?;
    if status.get_ref().is_sealed {
        node.seal().unseal(request).await
    } else {
        Ok(status)
    }
}

/// Shows how the seal of every endpoint is.
///
/// # Errors
/// One is sealed, or did not answer.
pub(super) async fn status(client: &Client, format: Format) -> Result<(), CliError> {
    let told = ask_all(client, |node| async move {
        node.seal().status(SealStatusRequest {}).await
    })
    .await;
    show(format, &told)?;
    failed(&told)?;
    let is_sealed = told
        .iter()
        .any(|(_, answer)| answer.as_ref().is_ok_and(|status| status.is_sealed));
    if is_sealed {
        Err(CliError::new(Exit::Sealed, ""))
    } else {
        Ok(())
    }
}

/// Seals the node that is asked, and no other; one that is sealed already stays so.
///
/// # Errors
/// It does not answer, or the token may not do that.
pub(super) async fn seal(session: &Session) -> Result<(), CliError> {
    let node = session.secrets.client().current();
    let asked = session.secrets.only(&node);
    let status = asked
        .client()
        .read(|node| async move { node.seal().status(SealStatusRequest {}).await })
        .await?;
    let endpoint = node.endpoint;
    let text = if status.is_initialized && status.is_sealed {
        format!("{endpoint} is sealed already")
    } else {
        asked.write("sys/seal", "{}").await?;
        format!("{endpoint} is sealed")
    };
    session
        .format
        .note(&text, || json!({"endpoint": endpoint, "sealed": true}))
}

fn failed(told: &[(String, Result<SealStatus, Status>)]) -> Result<(), CliError> {
    let first = told
        .iter()
        .find_map(|(endpoint, answer)| Some((endpoint, answer.as_ref().err()?)));
    let Some((endpoint, status)) = first else {
        return Ok(());
    };
    let exit = if crate::client::is_lost(status) {
        Exit::BadConnection
    } else {
        Exit::Server
    };
    Err(CliError::new(exit, format!("{endpoint}: {}", text_of(status))))
}

fn show(format: Format, told: &[(String, Result<SealStatus, Status>)]) -> Result<(), CliError> {
    let known = || {
        told.iter()
            .filter_map(|(endpoint, answer)| Some((endpoint, answer.as_ref().ok()?)))
    };
    if known().next().is_none() && !format.is_json() {
        return Ok(());
    }
    let lines: Vec<String> = known().map(|(endpoint, status)| line(endpoint, status)).collect();
    format.note(&lines.join("\n"), || {
        let nodes: Vec<Value> = known()
            .map(|(endpoint, status)| value(endpoint, status))
            .collect();
        json!({"nodes": nodes})
    })
}

fn line(endpoint: &str, status: &SealStatus) -> String {
    let seals: Vec<&str> = status.seals.iter().map(|seal| seal.id.as_str()).collect();
    let state = match (status.is_initialized, status.is_sealed) {
        (false, _) => "not initialized".to_owned(),
        (true, false) => "open".to_owned(),
        (true, true) => format!("sealed, {} of {} shares given", status.given, status.threshold),
    };
    format!("{endpoint}\t{state}\t{}", seals.join(","))
        .trim_end()
        .to_owned()
}

fn value(endpoint: &str, status: &SealStatus) -> Value {
    let seals = status
        .seals
        .iter()
        .map(|seal| json!({"id": seal.id, "kind": seal.kind}));
    json!({
        "endpoint": endpoint,
        "initialized": status.is_initialized,
        "sealed": status.is_sealed,
        "threshold": status.threshold,
        "shares": status.shares,
        "given": status.given,
        "nonce": status.nonce,
        "seals": seals.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::secrets::SealKind;

    #[test]
    fn a_share_is_read_in_base64_and_in_hexadecimal() {
        let bytes: Vec<u8> = (0..33).collect();
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        for text in [
            shown(&bytes),
            shown(&bytes).trim_end_matches('=').to_owned(),
            format!(" {digits}\n"),
        ] {
            assert_eq!(*share(&text).unwrap(), bytes, "{text}");
        }
        let error = share("hunter 2").unwrap_err();
        assert!(!error.message.contains("hunter"), "{error}");
    }

    #[test]
    fn a_seal_is_shown_as_open_sealed_or_not_initialized() {
        let mut status = SealStatus {
            threshold: 3,
            shares: 5,
            given: 1,
            is_sealed: true,
            ..SealStatus::default()
        };
        assert_eq!(line("a:1", &status), "a:1\tnot initialized");
        status.is_initialized = true;
        status.seals = vec![SealKind {
            id: "shares".to_owned(),
            kind: "shares".to_owned(),
        }];
        assert_eq!(line("a:1", &status), "a:1\tsealed, 1 of 3 shares given\tshares");
        status.is_sealed = false;
        assert_eq!(line("a:1", &status), "a:1\topen\tshares");
        assert_eq!(
            value("a:1", &status).to_string(),
            r#"{"endpoint":"a:1","given":1,"initialized":true,"nonce":"","sealed":false,"seals":[{"id":"shares","kind":"shares"}],"shares":5,"threshold":3}"#
        );
    }
}
