//! Header blocks (RFC 7541): where the authority stands in one, and what stands there instead.
//!
//! Reads the lengths of the other fields only. Needs no table of headers: a field that is an index alone was in an earlier
//! block, and was mended there.

use std::ops::Range;

use httlib_huffman::DecoderSpeed;
use http::uri::Authority;

/// The flag of a frame that ends with padding.
const PADDED: u8 = 8;
/// The flag of a frame that begins with a priority.
const PRIORITY: u8 = 32;
/// Bytes of a priority: the stream it depends on, and a weight.
const PRIORITY_BYTES: usize = 5;
/// The place of `:authority` in the table that all connections have (RFC 7541, appendix A).
const AUTHORITY_INDEX: usize = 1;
/// The bit of a string that is Huffman-coded.
const HUFFMAN: u8 = 0x80;
/// What parts the scheme of a URL from its authority.
const AFTER_SCHEME: &[u8] = b"://";
/// The same length as [`AFTER_SCHEME`], and makes what is before it the user of an authority.
const AFTER_USER: &[u8] = b"--@";

/// The payload of a frame of headers, with an authority in place of what is none; nothing if there is nothing to mend, or
/// if it cannot be read.
pub(super) fn with_authority(flags: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let mut block = 0..payload.len();
    if flags & PADDED != 0 {
        block = 1..payload.len().checked_sub(usize::from(*payload.first()?))?;
    }
    if flags & PRIORITY != 0 {
        block.start += PRIORITY_BYTES;
    }
    let mut reader = Reader {
        bytes: payload.get(..block.end)?,
        at: block.start,
    };
    let place = reader.authority()?;
    let (coded, text) = place.split_of(payload)?;
    let sent = match coded {
        true => {
            let mut decoded = Vec::new();
            httlib_huffman::decode(text, &mut decoded, DecoderSpeed::OneBit).ok()?;
            decoded
        }
        false => text.to_vec(),
    };
    let mended = authority_for(&sent)?;
    let mut result = payload[..place.whole.start].to_vec();
    write_length(&mut result, mended.len());
    result.extend_from_slice(&mended);
    result.extend_from_slice(&payload[place.whole.end..]);
    Some(result)
}

/// An authority of the same length, if `sent` is none: of a URL its own, behind the scheme as the user's name; of a path,
/// and of whatever else, a name that is like it.
fn authority_for(sent: &[u8]) -> Option<Vec<u8>> {
    if sent.is_empty() || is_authority(sent) {
        return None;
    }
    if let Some(at) = sent
        .windows(AFTER_SCHEME.len())
        .position(|part| part == AFTER_SCHEME)
    {
        let mut mended = sent.to_vec();
        mended[at..at + AFTER_USER.len()].copy_from_slice(AFTER_USER);
        if is_authority(&mended) {
            return Some(mended);
        }
    }
    let named = |byte: &u8| match byte {
        b'.' => b'.',
        byte if byte.is_ascii_alphanumeric() => *byte,
        _ => b'-',
    };
    Some(sent.iter().map(named).collect())
}

fn is_authority(text: &[u8]) -> bool {
    Authority::try_from(text).is_ok()
}

/// Where a value stands in a payload.
struct Place {
    /// With the length before it.
    whole: Range<usize>,
    /// Without.
    text: Range<usize>,
}

impl Place {
    /// Whether the value is Huffman-coded, and the value.
    fn split_of<'a>(&self, payload: &'a [u8]) -> Option<(bool, &'a [u8])> {
        let first = payload.get(self.whole.start)?;
        Some((first & HUFFMAN != 0, payload.get(self.text.clone())?))
    }
}

/// Goes through the fields of a block.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The value of the authority, if it is written out in this block.
    fn authority(&mut self) -> Option<Place> {
        loop {
            let first = *self.bytes.get(self.at)?;
            // The forms of a field, by their first bits (RFC 7541, section 6).
            let index = match first {
                0x80.. => {
                    self.integer(7)?;
                    continue;
                }
                0x40..0x80 => self.integer(6)?,
                0x20..0x40 => {
                    self.integer(5)?;
                    continue;
                }
                ..0x20 => self.integer(4)?,
            };
            if index == 0 {
                self.string()?;
            }
            let value = self.string()?;
            if index == AUTHORITY_INDEX {
                return Some(value);
            }
        }
    }

    fn string(&mut self) -> Option<Place> {
        let start = self.at;
        let length = self.integer(7)?;
        let text = self.at..self.at.checked_add(length)?;
        if text.end > self.bytes.len() {
            return None;
        }
        self.at = text.end;
        Some(Place {
            whole: start..text.end,
            text,
        })
    }

    /// An integer that begins in the low `bits` of a byte (RFC 7541, section 5.1); nothing if it is of no use here.
    fn integer(&mut self, bits: u32) -> Option<usize> {
        let full = (1 << bits) - 1;
        let mut value = usize::from(*self.bytes.get(self.at)?) & full;
        self.at += 1;
        if value < full {
            return Some(value);
        }
        for shift in [0, 7, 14] {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// The length of a string that is not Huffman-coded.
fn write_length(output: &mut Vec<u8>, length: usize) {
    let full = 0x7f;
    let Some(mut rest) = length.checked_sub(full) else {
        output.push(length as u8);
        return;
    };
    output.push(full as u8);
    while rest >= 0x80 {
        output.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    output.push(rest as u8);
}
