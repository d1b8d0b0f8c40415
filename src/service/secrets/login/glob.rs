//! Patterns in which `*` stands for any text, none included, as roles use them.
//!
//! Never takes longer than the product of the two lengths.

/// Whether `text` is what `pattern` says.
#[must_use]
pub fn is_match(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else {
        return pattern == text;
    };
    let Some(middle) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    let mut rest = middle;
    parts.all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// Whether `text` is what one of `patterns` says.
#[must_use]
pub fn is_any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| is_match(pattern, text))
}
