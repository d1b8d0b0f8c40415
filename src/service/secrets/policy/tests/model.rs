//! Decisions against a slow and obvious model, over policies and paths from a small alphabet.
//!
//! The model knows rules as the words in which they were generated, and compares all that match two by two.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// Numbers that parameters may be.
type Lists = Vec<(&'static str, Vec<u8>)>;

#[derive(Debug, Clone)]
struct Said {
    path: String,
    capabilities: Vec<&'static str>,
    allowed: Lists,
    denied: Lists,
    required: Vec<&'static str>,
    minimum: Option<u64>,
    maximum: Option<u64>,
}

const OPERATIONS: [(Operation, &str); 8] = [
    (Operation::Create, "create"),
    (Operation::Update, "update"),
    (Operation::Read, "read"),
    (Operation::Delete, "delete"),
    (Operation::List, "list"),
    (Operation::Patch, "patch"),
    (Operation::Renew, "update"),
    (Operation::Revoke, "update"),
];

fn any_path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "", "+", "a+"]);
    prop::collection::vec(segment, 1..5).prop_map(|segments| segments.join("/"))
}

fn any_pattern() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "", "+", "+", "+", "a+", "a*b"]);
    let path = prop::collection::vec(segment, 1..5).prop_map(|segments| segments.join("/"));
    let pattern = (path, any::<bool>()).prop_map(|(path, is_glob)| if is_glob { path + "*" } else { path });
    let sudo = prop::sample::select(vec!["sys/seal", "sys/*", "sys/+", "sys/raw/*"]).prop_map(str::to_owned);
    let pattern = prop_oneof![8 => pattern, 1 => sudo];
    pattern.prop_filter("'+*' is refused", |path| !path.contains("+*"))
}

fn any_parameters() -> impl Strategy<Value = Lists> {
    let names = prop::sample::subsequence(vec!["x", "y", "*"], 0..3);
    (
        names,
        prop::collection::vec(prop::collection::vec(0..2_u8, 0..2), 3),
    )
        .prop_map(|(names, values)| names.into_iter().zip(values).collect())
}

fn any_said() -> impl Strategy<Value = Said> {
    let capabilities = vec!["create", "read", "update", "delete", "list", "patch", "sudo"];
    let capabilities = prop_oneof![
        5 => prop::sample::subsequence(capabilities, 0..7),
        1 => Just(vec!["read", "deny"]),
    ];
    let time = || prop::option::weighted(0.2, 1..4_u64);
    let few = |parameters| prop_oneof![2 => Just(Vec::new()), 1 => parameters];
    (
        any_pattern(),
        capabilities,
        few(any_parameters().boxed()),
        few(any_parameters().boxed()),
        prop_oneof![3 => Just(Vec::new()), 1 => prop::sample::subsequence(vec!["x", "y"], 0..2)],
        time(),
        time(),
    )
        .prop_map(
            |(path, capabilities, allowed, denied, required, minimum, maximum)| Said {
                path,
                capabilities,
                allowed,
                denied,
                required,
                minimum,
                // One document says no two times that no answer can keep.
                maximum: maximum.map(|maximum| maximum.max(minimum.unwrap_or(0))),
            },
        )
}

fn any_document() -> impl Strategy<Value = Vec<Said>> {
    prop::collection::vec(any_said(), 0..8)
}

fn lists(parameters: &[(&str, Vec<u8>)], separator: &str) -> String {
    let lists = parameters
        .iter()
        .map(|(name, values)| format!("\"{name}\"{separator}{values:?}"));
    lists.collect::<Vec<_>>().join(", ")
}

fn hcl(document: &[Said]) -> String {
    let mut text = String::new();
    for said in document {
        write!(
            text,
            "path \"{}\" {{\n capabilities = {:?}\n allowed_parameters = {{ {} }}\n denied_parameters = {{ {} }}\n required_parameters = {:?}\n",
            said.path,
            said.capabilities,
            lists(&said.allowed, " = "),
            lists(&said.denied, " = "),
            said.required,
        )
        .unwrap();
        if let Some(minimum) = said.minimum {
            writeln!(text, " min_wrapping_ttl = {minimum}").unwrap();
        }
        if let Some(maximum) = said.maximum {
            writeln!(text, " max_wrapping_ttl = \"{maximum}s\"").unwrap();
        }
        text.push_str("}\n");
    }
    text
}

fn as_json(document: &[Said]) -> String {
    let paths: Vec<String> = document
        .iter()
        .map(|said| {
            format!(
                "{{\"{}\": {{\"capabilities\": {:?}, \"allowed_parameters\": {{{}}}, \"denied_parameters\": {{{}}}, \
                 \"required_parameters\": {:?}, \"min_wrapping_ttl\": {}, \"max_wrapping_ttl\": \"{}\"}}}}",
                said.path,
                said.capabilities,
                lists(&said.allowed, ": "),
                lists(&said.denied, ": "),
                said.required,
                said.minimum.unwrap_or(0),
                said.maximum.unwrap_or(0),
            )
        })
        .collect();
    format!("{{\"path\": [{}]}}", paths.join(", "))
}

/// Whether a pattern is about a path, segment by segment.
fn is_about(pattern: &str, path: &str) -> bool {
    let (body, is_glob) = match pattern.strip_suffix('*') {
        Some(body) => (body, true),
        None => (pattern, false),
    };
    let wanted: Vec<&str> = body.split('/').collect();
    let given: Vec<&str> = path.split('/').collect();
    if given.len() < wanted.len() || (!is_glob && given.len() != wanted.len()) {
        return false;
    }
    let last = wanted.len() - 1;
    (0..wanted.len()).all(|place| {
        if is_glob && place == last {
            given[place].starts_with(wanted[place])
        } else {
            wanted[place] == "+" || wanted[place] == given[place]
        }
    })
}

/// Where the first wildcard is, and how many segments are one.
fn wildcards(pattern: &str) -> (Option<usize>, usize) {
    let mut place = 0;
    let mut first = None;
    let mut count = 0;
    for segment in pattern.split('/') {
        if segment == "+" {
            first = first.or(Some(place));
            count += 1;
        }
        place += segment.len() + 1;
    }
    if pattern.ends_with('*') {
        first = first.or(Some(pattern.len() - 1));
    }
    (first, count)
}

/// Whether the first of two patterns with wildcards counts before the other.
fn beats(one: &str, other: &str) -> bool {
    let ((one_first, one_count), (other_first, other_count)) = (wildcards(one), wildcards(other));
    if one_first != other_first {
        return one_first > other_first;
    }
    if one.ends_with('*') != other.ends_with('*') {
        return !one.ends_with('*');
    }
    if one_count != other_count {
        return one_count < other_count;
    }
    if one.len() != other.len() {
        return one.len() > other.len();
    }
    one > other
}

/// What is said of the pattern that decides.
fn deciding<'a>(rules: &'a [&Said], path: &str, is_list: bool) -> Vec<&'a Said> {
    let of = |pattern: &str| -> Vec<&'a Said> {
        let same = rules.iter().filter(|said| cut(&said.path) == pattern);
        same.copied().collect()
    };
    let exact = |path: &str| -> Vec<&'a Said> {
        let has_wildcard = wildcards(path).0.is_some();
        if has_wildcard { Vec::new() } else { of(path) }
    };
    let found = exact(path);
    if !found.is_empty() {
        return found;
    }
    if is_list && let Some(path) = path.strip_suffix('/') {
        let found = exact(path);
        if !found.is_empty() {
            return found;
        }
    }
    let mut best: Option<&str> = None;
    for said in rules {
        let pattern = cut(&said.path);
        let has_wildcard = wildcards(pattern).0.is_some();
        if has_wildcard && is_about(pattern, path) && best.is_none_or(|best| beats(pattern, best)) {
            best = Some(pattern);
        }
    }
    best.map(of).unwrap_or_default()
}

fn cut(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}

/// All values that are said of a parameter; none if one says nothing of which: then every value is meant.
fn values<'a>(rules: &[&'a Said], name: &str, list: fn(&Said) -> &Lists) -> Option<Vec<&'a [u8]>> {
    let said: Vec<&[u8]> = rules
        .iter()
        .flat_map(|said| list(said).iter())
        .filter(|(said, _)| *said == name)
        .map(|(_, values)| values.as_slice())
        .collect();
    (!said.is_empty()).then_some(said)
}

fn is_meant(values: &[&[u8]], value: u8) -> bool {
    values
        .iter()
        .any(|values| values.is_empty() || values.contains(&value))
}

fn slowly(
    documents: &[Vec<Said>],
    operation: (Operation, &str),
    path: &str,
    parameters: &[(&'static str, u8)],
    wrap: Option<u64>,
) -> Decision {
    let rules: Vec<&Said> = documents.iter().flatten().collect();
    let path = path.trim_start_matches('/');
    let rules = deciding(&rules, path, operation.0 == Operation::List);
    let has = |capability| rules.iter().any(|said| said.capabilities.contains(&capability));
    if has("deny") || !has(operation.1) {
        return Decision::Denied;
    }
    let needs_sudo = path == "sys/seal" || path.starts_with("sys/raw/");
    if needs_sudo && !has("sudo") {
        return Decision::Denied;
    }
    let minimum = rules.iter().filter_map(|said| said.minimum).min();
    let maximum = rules.iter().filter_map(|said| said.maximum).min();
    if minimum.is_some_and(|minimum| wrap.is_none_or(|wrap| wrap < minimum))
        || maximum.is_some_and(|maximum| wrap.is_none_or(|wrap| wrap > maximum))
    {
        return Decision::Denied;
    }
    let allowed = Decision::Allowed {
        is_privileged: has("sudo"),
    };
    let checks = [
        Operation::Create,
        Operation::Update,
        Operation::Read,
        Operation::Patch,
    ];
    if !checks.contains(&operation.0) {
        return allowed;
    }
    for required in rules.iter().flat_map(|said| &said.required) {
        if !parameters.iter().any(|(name, _)| name == required) {
            return Decision::Denied;
        }
    }
    let anything_allowed = rules.iter().any(|said| !said.allowed.is_empty());
    for (name, value) in parameters {
        let denied = |name| values(&rules, name, |said| &said.denied);
        if denied("*").is_some() || denied(name).is_some_and(|values| is_meant(&values, *value)) {
            return Decision::Denied;
        }
        let of = |name| values(&rules, name, |said| &said.allowed);
        let fits = match of(name) {
            Some(values) => is_meant(&values, *value),
            None => !anything_allowed || of("*").is_some(),
        };
        if !fits {
            return Decision::Denied;
        }
    }
    allowed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_decided_is_what_the_obvious_way_decides(
        documents in prop::collection::vec(any_document(), 1..4),
        paths in prop::collection::vec(
            prop_oneof![8 => any_path(), 1 => prop::sample::select(vec!["sys/seal", "sys/raw/a", "/a"]).prop_map(str::to_owned)],
            1..8,
        ),
        parameters in prop::sample::subsequence(vec!["x", "y", "z"], 0..3),
        given in prop::collection::vec(0..3_u8, 3),
        wrap in prop::option::of(1..5_u64),
    ) {
        let texts: Vec<String> = documents.iter().map(|document| hcl(document)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let merged = merged(&texts);
        let parameters: Vec<(&str, u8)> = parameters.into_iter().zip(given).collect();
        let object: Map<String, Value> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        for path in &paths {
            for operation in OPERATIONS {
                let wrapped = wrap.map(std::time::Duration::from_secs);
                prop_assert_eq!(
                    merged.decide(operation.0, path, &object, wrapped),
                    slowly(&documents, operation, path, &parameters, wrap),
                    "{:?} {:?} {:?} {:?}\n{}", operation.0, path, parameters, wrap, texts.join("\n")
                );
            }
        }
    }

    #[test]
    fn capabilities_are_those_of_the_rule_that_decides(document in any_document(), path in any_path()) {
        let merged = merged(&[&hcl(&document)]);
        let rules: Vec<&Said> = document.iter().collect();
        let rules = deciding(&rules, path.trim_start_matches('/'), true);
        let mut expected: Vec<&str> = rules.iter().flat_map(|said| said.capabilities.iter().copied()).collect();
        expected.sort_unstable();
        expected.dedup();
        if expected.is_empty() || expected.contains(&"deny") {
            expected = vec!["deny"];
        }
        prop_assert_eq!(merged.capabilities(&path), expected);
    }

    #[test]
    fn a_document_is_the_same_in_both_forms(document in any_document()) {
        prop_assert_eq!(policy(&hcl(&document)), policy(&as_json(&document)));
    }
}
