use serde_json::json;

use super::*;

const ADDRESS: Shape = Shape::Object(&[("Address", Shape::Text), ("Port", Shape::Number)]);
const CHECK: Shape = Shape::Object(&[("Status", Shape::Text)]);
const SHAPE: Shape = Shape::Object(&[
    ("ID", Shape::Text),
    ("Port", Shape::Number),
    ("Override", Shape::Boolean),
    ("Tags", Shape::Texts),
    ("Meta", Shape::Map(&Shape::Text)),
    ("Addresses", Shape::Map(&ADDRESS)),
    ("Checks", Shape::List(&CHECK)),
    ("Node", Shape::Object(&[("Name", Shape::Text)])),
]);

fn object() -> Value {
    json!({
        "ID": "web-1", "Port": 80, "Override": true, "Tags": ["a", "b c"],
        "Meta": {"zone": "z1", "odd key": "x", "e": ""},
        "Addresses": {"lan": {"Address": "10.0.0.1", "Port": 8080}},
        "Checks": [{"Status": "passing"}, {"Status": "critical"}],
        "Node": {"Name": "n1"},
    })
}

fn admits(text: &str) -> bool {
    Filter::parse(text, SHAPE)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .admits(&object())
}

#[test]
fn conditions_hold_as_written() {
    for text in [
        r#"ID == "web-1""#,
        "ID == web-1",
        "ID == `web-1`",
        "ID != web",
        "Port == 80",
        "Port != 81",
        "Override == true",
        "a in Tags",
        r#""b c" in Tags"#,
        "c not in Tags",
        "Tags contains a",
        "Tags not contains c",
        "Tags is not empty",
        "web in ID",
        "zone in Meta",
        "Meta contains zone",
        "Meta.zone == z1",
        r#"Meta["odd key"] == x"#,
        r#""/Meta/odd key" == x"#,
        r#"Addresses["lan"].Address == "10.0.0.1""#,
        "Addresses.lan.Port == 8080",
        "Meta.none != z1",
        "Meta.none is empty",
        "Meta.e is empty",
        "not Meta.none == z1",
        "Meta.none not matches z",
        "Checks.Status == passing",
        "Checks.Status == critical",
        "Checks.Status != passing",
        "ID matches `^web-[0-9]$`",
        "ID not matches `^b`",
        r#"ID matches "^web\\-1$""#,
        "Node.Name == n1 and (Port == 1 or Port == 80)",
        r#"ID == "\x77\u0065b-1""#,
    ] {
        assert!(admits(text), "{text}");
        assert!(!admits(&format!("not ({text})")), "not ({text})");
    }
    for text in [
        "Meta.none == z1",
        "ID == WEB-1",
        "Tags is empty",
        "x in Meta",
        "Meta.none matches z",
    ] {
        assert!(!admits(text), "{text}");
    }
}

#[test]
fn not_binds_closer_than_and_and_that_closer_than_or() {
    assert!(admits("ID == web-1 or ID == x and ID == y"));
    assert!(!admits("(ID == web-1 or ID == x) and ID == y"));
    assert!(admits("not ID == x and ID == web-1"));
    assert!(!admits("not ID == web-1 and ID == web-1"));
    assert!(admits("not ID == web-1 or ID == web-1"));
}

#[test]
fn a_field_that_is_left_out_is_empty() {
    let filter = |text| Filter::parse(text, SHAPE).unwrap().admits(&json!({}));
    for text in [
        "ID == \"\"",
        "Tags is empty",
        "Port == 0",
        "Override == false",
        "Node.Name is empty",
        "a not in Tags",
    ] {
        assert!(filter(text), "{text}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, error) in [
        ("", "at byte 0: the end where a selector or a value should be"),
        ("ID", "at byte 2: the end where an operator should be"),
        ("ID ==", "at byte 5: the end where a value should be"),
        (
            "ID == x y",
            "at byte 8: \"y\" where \"and\", \"or\" or the end should be",
        ),
        ("(ID == x", "at byte 8: the end where \")\" should be"),
        (
            "ID = x",
            "at byte 3: '=' where a name, a value in quotes or an operator should be",
        ),
        ("ID == \"x", "at byte 6: text that begins here does not end"),
        (
            "Nope == x",
            "Selector \"Nope\" is not valid: there is no \"Nope\" in it",
        ),
        (
            "Node.Nope == x",
            "Selector \"Node.Nope\" is not valid: there is no \"Nope\" in it",
        ),
        (
            "Tags == x",
            "\"==\" cannot be used with \"Tags\", which is a list of text",
        ),
        (
            "Port matches x",
            "\"matches\" cannot be used with \"Port\", which is a number",
        ),
        (
            "Port is empty",
            "\"is empty\" cannot be used with \"Port\", which is a number",
        ),
        (
            "Port == x",
            "\"x\" cannot be compared with \"Port\", which is a number",
        ),
        ("ID is full", "at byte 6: \"full\" where \"empty\" should be"),
        (
            "any Tags as t { t == x }",
            "at byte 14: '{' where a name, a value in quotes or an operator should be",
        ),
    ] {
        assert_eq!(
            Filter::parse(text, SHAPE).unwrap_err().to_string(),
            error,
            "{text}"
        );
    }
    let pattern = Filter::parse("ID matches `(`", SHAPE).unwrap_err();
    assert!(matches!(pattern, FilterError::Pattern { .. }), "{pattern}");
}

#[test]
fn length_depth_and_patterns_are_bounded() {
    let deep = |depth: usize| format!("{}ID == x{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&deep(MAXIMUM_FILTER_DEPTH - 1), SHAPE).is_ok());
    assert_eq!(
        Filter::parse(&deep(MAXIMUM_FILTER_DEPTH), SHAPE).unwrap_err(),
        FilterError::TooDeep
    );
    let negated = format!("{} ID == x", "not ".repeat(MAXIMUM_FILTER_DEPTH));
    assert_eq!(Filter::parse(&negated, SHAPE).unwrap_err(), FilterError::TooDeep);
    let long = format!("ID == \"{}\"", "x".repeat(MAXIMUM_FILTER_BYTES));
    assert!(matches!(
        Filter::parse(&long, SHAPE),
        Err(FilterError::TooLong { .. })
    ));
    let patterns = |number: usize| vec!["ID matches x"; number].join(" or ");
    assert!(Filter::parse(&patterns(MAXIMUM_FILTER_PATTERNS), SHAPE).is_ok());
    let many = Filter::parse(&patterns(MAXIMUM_FILTER_PATTERNS + 1), SHAPE);
    assert_eq!(many.unwrap_err(), FilterError::TooManyPatterns);
    let large = Filter::parse("ID matches `(x{1000}){1000}`", SHAPE);
    assert!(matches!(large, Err(FilterError::Pattern { .. })));
}
