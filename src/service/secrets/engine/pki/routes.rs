//! Which path does what.
//!
//! Never does anything itself.

use super::fetch::{self, Shown};
use super::{Work, authority, fields, issue, issuers, manage, revocation, role, settings};
use crate::service::secrets::engine::{Answer, Data, Fault};
use crate::service::secrets::policy::Operation;

/// Paths of Vault's interface that are not offered, by their first segments, and what to use instead.
const UNOFFERED: [(&[&str], &str); 25] = [
    (&["acme"], "ACME: ask for certificates by issue and sign; it"),
    (
        &["roles", "*", "acme"],
        "ACME: ask for certificates by issue and sign; it",
    ),
    (
        &["issuer", "*", "acme"],
        "ACME: ask for certificates by issue and sign; it",
    ),
    (
        &["issuer", "*", "roles"],
        "ACME: ask for certificates by issue and sign; it",
    ),
    (&["eab"], "ACME: ask for certificates by issue and sign; it"),
    (
        &["config", "acme"],
        "ACME: ask for certificates by issue and sign; it",
    ),
    (&["est"], "EST: ask for certificates by sign; it"),
    (&["config", "est"], "EST: ask for certificates by sign; it"),
    (&["cmp"], "CMP: ask for certificates by sign; it"),
    (&["config", "cmp"], "CMP: ask for certificates by sign; it"),
    (&["scep"], "SCEP: ask for certificates by sign; it"),
    (&["config", "scep"], "SCEP: ask for certificates by sign; it"),
    (&["ocsp"], "OCSP: fetch the revocation list by crl; it"),
    (&["unified-ocsp"], "OCSP: fetch the revocation list by crl; it"),
    (
        &["unified-crl"],
        "unified-crl: a mount has one cluster, its list is at crl; it",
    ),
    (&["crl", "delta"], "crl/delta: lists are always whole; it"),
    (
        &["crl", "rotate-delta"],
        "crl/rotate-delta: lists are always whole; it",
    ),
    (&["config", "cluster"], "config/cluster: set config/urls; it"),
    (&["config", "auto-tidy"], "config/auto-tidy: call tidy; it"),
    (
        &["tidy-status"],
        "tidy-status: tidy has done its work when it answers; it",
    ),
    (
        &["tidy-cancel"],
        "tidy-cancel: tidy has done its work when it answers; it",
    ),
    (&["issuer", "*", "resign-crls"], "issuer/:ref/resign-crls"),
    (
        &["issuer", "*", "sign-revocation-list"],
        "issuer/:ref/sign-revocation-list",
    ),
    (
        &["certs", "unified-revoked"],
        "certs/unified-revoked: see certs/revoked; it",
    ),
    (
        &["certs", "revocation-queue"],
        "certs/revocation-queue: revocations are done at once; it",
    ),
];

/// What a new root is called that is to take the place of the default one.
const NEXT: &str = "next";

/// Answers a request.
///
/// # Errors
/// What the client is told.
pub fn handle(work: &mut Work<'_>) -> Result<Answer, Fault> {
    let call = work.call;
    let segments: Vec<&str> = call.path.trim_end_matches('/').split('/').collect();
    if let Some((_, sentence)) = UNOFFERED.iter().find(|(pattern, _)| is_below(&segments, pattern)) {
        return Err(Fault::Unimplemented((*sentence).to_owned()));
    }
    match call.operation {
        Operation::Read => read(work, &segments),
        Operation::List => list(work, &segments),
        Operation::Create | Operation::Update => write(work, &segments),
        Operation::Delete | Operation::Patch => other(work, &segments),
        _ => Err(Fault::Unsupported),
    }
}

fn is_below(segments: &[&str], pattern: &[&str]) -> bool {
    segments.len() >= pattern.len()
        && segments
            .iter()
            .zip(pattern)
            .all(|(segment, wanted)| *wanted == "*" || segment == wanted)
}

fn read(work: &mut Work<'_>, segments: &[&str]) -> Result<Answer, Fault> {
    match segments {
        ["ca"] => fetch::authority(work, Shown::Der),
        ["ca", "pem"] => fetch::authority(work, Shown::Pem),
        ["ca_chain"] => fetch::chain(work, Shown::Pem),
        ["cert", "ca"] => fetch::authority(work, Shown::Data),
        ["cert", "ca", "raw"] => fetch::authority(work, Shown::Der),
        ["cert", "ca", "raw", "pem"] => fetch::authority(work, Shown::Pem),
        ["cert", "ca_chain"] => fetch::chain(work, Shown::Data),
        ["crl"] | ["cert", "crl", "raw"] => default_list(work, Shown::Der),
        ["crl", "pem"] | ["cert", "crl", "raw", "pem"] => default_list(work, Shown::Pem),
        ["cert", "crl"] => default_list(work, Shown::Data),
        ["crl", "rotate"] => {
            revocation::rotate(work)?;
            Ok(Answer::data(Data::new().with("success", &true)?))
        }
        ["cert", serial] => fetch::certificate(work, serial, Shown::Data),
        ["cert", serial, "raw"] => fetch::certificate(work, serial, Shown::Der),
        ["cert", serial, "raw", "pem"] => fetch::certificate(work, serial, Shown::Pem),
        ["issuer", reference, form @ ("pem" | "der" | "json")] => one_issuer(work, reference, form),
        ["issuer", reference, "crl", rest @ ..] => {
            let issuer = issuers::need(work.storage, reference)?;
            match rest {
                [] => fetch::list(work, Some(issuer), Shown::Data),
                ["pem"] => fetch::list(work, Some(issuer), Shown::Pem),
                ["der"] => fetch::list(work, Some(issuer), Shown::Der),
                _ => Err(unknown(work)),
            }
        }
        ["config", ..] | ["issuer" | "key" | "roles", _] => settled(work, segments),
        _ => Err(unknown(work)),
    }
}

fn one_issuer(work: &mut Work<'_>, reference: &str, form: &str) -> Result<Answer, Fault> {
    let issuer = issuers::need(work.storage, reference)?;
    let data = manage::described(work.storage, &issuer)?;
    if form == "json" {
        let mut public = Data::new();
        for name in ["certificate", "ca_chain", "issuer_id", "issuer_name"] {
            if let Some(text) = data.get(name) {
                public.set_text(name, text)?;
            }
        }
        return Ok(Answer::data(public));
    }
    let shown = if form == "der" { Shown::Der } else { Shown::Pem };
    fetch::show(work.storage, &issuer.certificate()?, Some(&issuer), shown)
}

fn default_list(work: &mut Work<'_>, shown: Shown) -> Result<Answer, Fault> {
    let issuer = issuers::find(work.storage, "default")?;
    fetch::list(work, issuer, shown)
}

fn list(work: &mut Work<'_>, segments: &[&str]) -> Result<Answer, Fault> {
    match segments {
        ["roles"] => role::handle(work.call, work.storage, ""),
        ["certs"] => fetch::serials(work.storage, "certificate"),
        ["certs", "revoked"] => fetch::serials(work.storage, "revoked"),
        ["issuers"] => manage::list_issuers(work.storage),
        ["keys"] => manage::list_keys(work.storage),
        _ => Err(unknown(work)),
    }
}

fn write(work: &mut Work<'_>, segments: &[&str]) -> Result<Answer, Fault> {
    let body = work.call.body;
    match segments {
        ["root", "generate", kind] | ["issuers", "generate", "root", kind] => {
            authority::generate_root(work, kind, "")
        }
        ["root", "rotate", kind] => authority::generate_root(work, kind, NEXT),
        ["root", "replace"] => settings::default_issuer(work, Some(NEXT)),
        ["intermediate", "generate", kind] | ["issuers", "generate", "intermediate", kind] => {
            authority::generate_intermediate(work, kind)
        }
        ["intermediate", "cross-sign"] => authority::generate_intermediate(work, "existing"),
        ["intermediate", "set-signed"] => {
            manage::import(work, fields::required(body, "certificate")?, false, true)
        }
        ["config", "ca"] | ["issuers", "import", "bundle"] => {
            manage::import(work, fields::required(body, "pem_bundle")?, true, false)
        }
        ["issuers", "import", "cert"] => {
            manage::import(work, fields::required(body, "pem_bundle")?, false, false)
        }
        ["keys", "import"] => manage::import(work, fields::required(body, "pem_bundle")?, true, false),
        ["keys", "generate", kind @ ("internal" | "exported")] => manage::generate_key(work, kind),
        ["root", "sign-intermediate"] => authority::sign_intermediate(work, &issuer_of(work)?),
        ["root", "sign-self-issued"] => authority::sign_self_issued(work, &issuer_of(work)?),
        ["issue", role] => issue::issue(work, None, role),
        ["sign", role] => issue::sign(work, None, role),
        ["sign-verbatim"] => issue::sign_verbatim(work, None, None),
        ["sign-verbatim", role] => issue::sign_verbatim(work, None, Some(role)),
        ["issuer", reference, "issue", role] => issue::issue(work, Some(reference), role),
        ["issuer", reference, "sign", role] => issue::sign(work, Some(reference), role),
        ["issuer", reference, "sign-verbatim"] => issue::sign_verbatim(work, Some(reference), None),
        ["issuer", reference, "sign-verbatim", role] => {
            issue::sign_verbatim(work, Some(reference), Some(role))
        }
        ["issuer", reference, "sign-intermediate"] => authority::sign_intermediate(work, reference),
        ["issuer", reference, "sign-self-issued"] => authority::sign_self_issued(work, reference),
        ["issuer", reference, "revoke"] => {
            let issuer = issuers::need(work.storage, reference)?;
            let issuer = revocation::revoke_issuer(work, issuer)?;
            Ok(Answer::data(manage::described(work.storage, &issuer)?))
        }
        ["revoke"] => revocation::revoke(work, false),
        ["revoke-with-key"] => revocation::revoke(work, true),
        ["crl", "rotate"] => {
            revocation::rotate(work)?;
            Ok(Answer::data(Data::new().with("success", &true)?))
        }
        ["tidy"] => manage::tidy(work),
        ["config", ..] | ["issuer" | "key" | "roles", _] => settled(work, segments),
        _ => Err(unknown(work)),
    }
}

fn issuer_of(work: &Work<'_>) -> Result<String, Fault> {
    Ok(fields::text(work.call.body, "issuer_ref")?
        .unwrap_or("default")
        .to_owned())
}

fn other(work: &mut Work<'_>, segments: &[&str]) -> Result<Answer, Fault> {
    match segments {
        ["root"] if work.call.operation == Operation::Delete => manage::delete_root(work),
        ["issuer" | "key" | "roles", _] => settled(work, segments),
        _ => Err(unknown(work)),
    }
}

/// What can be read and written.
fn settled(work: &mut Work<'_>, segments: &[&str]) -> Result<Answer, Fault> {
    match segments {
        ["config", "urls"] => settings::urls(work),
        ["config", "crl"] => settings::crl(work),
        ["config", "issuers"] => settings::default_issuer(work, None),
        ["config", "keys"] => settings::default_key(work),
        ["issuer", reference] => manage::issuer(work, reference),
        ["key", reference] => manage::key(work, reference),
        ["roles", name] => role::handle(work.call, work.storage, name),
        _ => Err(unknown(work)),
    }
}

/// Paths that are there, for other operations.
const KNOWN: [&str; 16] = [
    "ca",
    "ca_chain",
    "cert",
    "certs",
    "config",
    "crl",
    "intermediate",
    "issue",
    "issuer",
    "issuers",
    "keys",
    "revoke",
    "root",
    "sign",
    "sign-verbatim",
    "tidy",
];

fn unknown(work: &Work<'_>) -> Fault {
    let first = work.call.path.split('/').next().unwrap_or_default();
    match KNOWN.contains(&first) || first == "roles" || first == "key" {
        true => Fault::Unsupported,
        false => Fault::NoPath(format!("unsupported path {:?} of a PKI mount", work.call.path)),
    }
}
