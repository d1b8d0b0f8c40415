//! What all requests share.

use super::super::*;

#[test]
fn a_token_in_the_parameters_comes_first_then_its_header_then_the_bearers() {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer three"));
    let none = Parameters::default();
    assert_eq!(token(&none, &headers).as_deref(), Some("three"));
    headers.insert("x-consul-token", HeaderValue::from_static("two"));
    assert_eq!(token(&none, &headers).as_deref(), Some("two"));
    assert_eq!(
        token(&Parameters::parse("token=one"), &headers).as_deref(),
        Some("one")
    );
    assert_eq!(token(&none, &HeaderMap::new()), None);
}

#[test]
fn a_path_of_unprintable_characters_is_told_from_one_of_odd_ones() {
    for path in ["/v1/kv/a b", "/v1/kv/ü/日本", "/v1/kv/a\u{fffd}", "/v1/kv/%"] {
        assert_eq!(unprintable(path.as_bytes()), None, "{path:?}");
    }
    for path in ["/v1/kv/a\nb", "/v1/kv/\0", "/v1/kv/\u{200b}", "/v1/kv/\u{a0}"] {
        assert!(unprintable(path.as_bytes()).is_some(), "{path:?}");
    }
}
