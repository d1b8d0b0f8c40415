//! PEM: what stands between lines of dashes.
//!
//! Never knows what it is.

use x509_cert::der::pem::{self, LineEnding};
use zeroize::Zeroizing;

use crate::base::limits::MAXIMUM_PKI_INPUT_BYTES;
use crate::service::secrets::engine::Fault;

/// What stands between two lines: its label, and what was encoded.
pub type Block = (String, Zeroizing<Vec<u8>>);

/// Writes a block. Its last line has no end, as clients expect it.
///
/// # Errors
/// It is too long for PEM.
pub fn encode(label: &str, der: &[u8]) -> Result<String, Fault> {
    let mut text = pem::encode_string(label, LineEnding::LF, der)
        .map_err(|_| Fault::Internal("what was made cannot be written as PEM".to_owned()))?;
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// Reads all blocks of a text; what stands between them is passed by.
///
/// # Errors
/// It is too long, or has no blocks that can be read. Nothing of the text is repeated: it may hold a key.
pub fn decode(text: &str, what: &str) -> Result<Vec<Block>, Fault> {
    if text.len() > MAXIMUM_PKI_INPUT_BYTES {
        return Err(Fault::Invalid(format!(
            "{what} has {} bytes; the most is {MAXIMUM_PKI_INPUT_BYTES}",
            text.len()
        )));
    }
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let unreadable = || Fault::Invalid(format!("{what} has a block of PEM that cannot be read"));
        let (label, body) = after.split_once("-----").ok_or_else(unreadable)?;
        let end = format!("-----END {label}-----");
        let (body, behind) = body.split_once(end.as_str()).ok_or_else(unreadable)?;
        // In lines of its own choice: not everybody breaks them where the standard does.
        let packed: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
        let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, packed.as_bytes());
        blocks.push((label.to_owned(), Zeroizing::new(der.map_err(|_| unreadable())?)));
        rest = behind;
    }
    if blocks.is_empty() {
        return Err(Fault::Invalid(format!(
            "no data found in PEM block: {what} is not PEM"
        )));
    }
    Ok(blocks)
}
