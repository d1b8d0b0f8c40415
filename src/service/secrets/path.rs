//! Paths of the secret store, in the one form that everything behind the front door sees.
//!
//! A path is decoded once and brought into its form before it is looked at, so that what policies judge is what is done:
//! there is no second way to write it, but for names that an engine takes in any case, which `work` sees to. Never
//! knows what is at a path.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::base::limits::MAXIMUM_SECRET_PATH_BYTES;

/// A path that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// Too many bytes.
    #[error("the path has {0} bytes; the most is {MAXIMUM_SECRET_PATH_BYTES}")]
    Long(usize),
    /// `%` without two hexadecimal digits behind it, or bytes that are no text.
    #[error("the path is not encoded as it should be; write % as %25, and other characters in UTF-8")]
    Encoding,
    /// `.` or `..`.
    #[error("the path has a segment of dots; name what is meant without it")]
    Dots,
    /// A line end or the like.
    #[error("the path has a control character")]
    Control,
}

/// The path of a request as it comes behind `/v1/`, with percent-encoding, in its one form: decoded; without slashes at the
/// beginning, and one where there were several; at its end a slash if what is below it is listed, and none otherwise.
///
/// # Errors
/// It is too long, not encoded as it should be, or has segments of dots or control characters.
pub fn normalise(encoded: &str, is_list: bool) -> Result<String, PathError> {
    let decoded = decode(encoded)?;
    if decoded.len() > MAXIMUM_SECRET_PATH_BYTES {
        return Err(PathError::Long(decoded.len()));
    }
    if decoded.contains(char::is_control) {
        return Err(PathError::Control);
    }
    let segments: Vec<&str> = decoded.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
        return Err(PathError::Dots);
    }
    let mut path = segments.join("/");
    if is_list && !path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

fn decode(encoded: &str) -> Result<Cow<'_, str>, PathError> {
    let is_whole = encoded.split('%').skip(1).all(|after| {
        let mut digits = after.bytes().take(2);
        let mut is_digit = || digits.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        is_digit() && is_digit()
    });
    if !is_whole {
        return Err(PathError::Encoding);
    }
    percent_decode_str(encoded)
        .decode_utf8()
        .map_err(|_| PathError::Encoding)
}

/// What of a path lies below a mount.
#[must_use]
pub fn below<'path>(mount: &str, path: &'path str) -> &'path str {
    path.strip_prefix(mount).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_way_to_write_a_path_gives_the_same() {
        for (written, is_list, path) in [
            ("secret/data/a", false, "secret/data/a"),
            ("/secret//data///a/", false, "secret/data/a"),
            ("secret/data/a", true, "secret/data/a/"),
            ("secret/data/a//", true, "secret/data/a/"),
            ("secret%2Fdata%2fa", false, "secret/data/a"),
            ("%73ecret/d%61ta/a", false, "secret/data/a"),
            ("secret/a%20b", false, "secret/a b"),
            ("secret/%C3%A9", false, "secret/é"),
            ("secret/é", false, "secret/é"),
            ("secret/a.b/.c/...", false, "secret/a.b/.c/..."),
            ("secret/%252e%252e/a", false, "secret/%2e%2e/a"),
            ("secret/a+b*", false, "secret/a+b*"),
            ("", false, ""),
            ("//", true, ""),
        ] {
            assert_eq!(normalise(written, is_list).as_deref(), Ok(path), "{written}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (written, error) in [
            ("secret/../sys/seal", PathError::Dots),
            ("secret/./a", PathError::Dots),
            ("..", PathError::Dots),
            ("secret/%2e%2E/a", PathError::Dots),
            ("secret/.%2e/a", PathError::Dots),
            ("secret%2f..%2fa", PathError::Dots),
            ("secret/%", PathError::Encoding),
            ("secret/%2", PathError::Encoding),
            ("secret/%zz", PathError::Encoding),
            ("secret/%é", PathError::Encoding),
            ("secret/%ff", PathError::Encoding),
            ("secret/%c0%ae", PathError::Encoding),
            ("secret/a%00", PathError::Control),
            ("secret/a%0Ab", PathError::Control),
        ] {
            assert_eq!(normalise(written, false), Err(error), "{written}");
        }
        let longest = "a".repeat(MAXIMUM_SECRET_PATH_BYTES);
        assert_eq!(normalise(&longest, false).as_ref(), Ok(&longest));
        let error = normalise(&format!("{longest}a"), false).unwrap_err();
        assert_eq!(error.to_string(), "the path has 2049 bytes; the most is 2048");
    }

    proptest! {
        #[test]
        fn what_was_normalised_stays_as_it_is(
            segments in prop::collection::vec("[a./%é ]{0,4}|%2[eEfF5]|%41", 0..6),
            is_list in any::<bool>(),
        ) {
            if let Ok(path) = normalise(&segments.join("/"), is_list) {
                prop_assert!(!path.starts_with('/') && !path.contains("//"));
                prop_assert_eq!(path.ends_with('/'), is_list && !path.is_empty());
                prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
                let again = path.replace('%', "%25");
                prop_assert_eq!(normalise(&again, is_list), Ok(path));
            }
        }
    }
}
