//! Random bytes and hashes, which need no key, here and below `sys/tools`.
//!
//! Never stores anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fields::{Fields, decoded};
use super::hash::Hash;
use crate::base::limits::MAXIMUM_TRANSIT_RANDOM_BYTES;
use crate::service::secrets::engine::{Answer, Data, Fault};
use crate::service::secrets::parameters::Body;
use crate::service::secrets::randomness::Randomness;

/// Random bytes. The segments are those of the path behind `random`: a source, a number of bytes, or both.
///
/// # Errors
/// The request asks for too many or none, or for another form or source than there is.
pub fn random(body: &Body, segments: &[&str], randomness: &mut dyn Randomness) -> Result<Answer, Fault> {
    let fields = Fields(body.fields());
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (source, count) = match segments {
        [] => (None, None),
        [one] if is_number(one) => (None, Some(*one)),
        [source] => (Some(*source), None),
        [source, count, ..] => (Some(*source), Some(*count)),
    };
    let source = source.or(fields.word("source")?).unwrap_or("platform");
    if !matches!(source, "platform" | "seal" | "all") {
        return Err(Fault::Invalid(format!(
            "unsupported entropy source {source:?}; must be \"platform\" or \"seal\", or \"all\""
        )));
    }
    let wanted = match count {
        Some(text) => text.parse().ok(),
        None => Some(fields.integer("bytes")?.unwrap_or(32)),
    };
    let count = wanted
        .and_then(|wanted: i64| usize::try_from(wanted).ok())
        .unwrap_or(0);
    if count == 0 {
        return Err(Fault::Invalid("\"bytes\" cannot be less than 1".to_owned()));
    }
    if count > MAXIMUM_TRANSIT_RANDOM_BYTES {
        return Err(Fault::Invalid(format!(
            "\"bytes\" should be less than or equal to {MAXIMUM_TRANSIT_RANDOM_BYTES}"
        )));
    }
    let format = format(fields, Format::Base64)?;
    let bytes = randomness.bytes(count)?;
    Ok(Answer::data(Data::new().with(
        "random_bytes",
        &*zeroize::Zeroizing::new(format.write(&bytes)),
    )?))
}

/// The hash of an input, with the function that the path names, or else a field.
///
/// # Errors
/// There is no such function or form, or no input.
pub fn hash(body: &Body, algorithm: Option<&str>) -> Result<Answer, Fault> {
    let fields = Fields(body.fields());
    let name = match algorithm {
        Some(name) => name,
        None => fields.word("algorithm")?.unwrap_or("sha2-256"),
    };
    let format = format(fields, Format::Hex)?;
    let input = fields.text("input")?.unwrap_or_default();
    let input =
        decoded("input", input).map_err(|_| Fault::Invalid("unable to decode input as base64".to_owned()))?;
    let hash = Hash::from_name(name).filter(|hash| *hash != Hash::Sha1);
    let hash = hash.ok_or_else(|| Fault::Invalid(format!("unsupported algorithm {name}")))?;
    Ok(Answer::data(
        Data::new().with("sum", &format.write(&hash.of(&input)))?,
    ))
}

#[derive(Clone, Copy)]
enum Format {
    Hex,
    Base64,
}

impl Format {
    fn write(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex(bytes),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }
}

fn format(fields: Fields<'_>, otherwise: Format) -> Result<Format, Fault> {
    match fields.word("format")? {
        None => Ok(otherwise),
        Some("hex") => Ok(Format::Hex),
        Some("base64") => Ok(Format::Base64),
        Some(other) => Err(Fault::Invalid(format!(
            "unsupported encoding format {other:?}; must be \"hex\" or \"base64\""
        ))),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |number: u8| char::from_digit(u32::from(number), 16).unwrap_or_default();
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}
