//! Which names a role allows.

use serde_json::{Value, json};

use super::super::constraints::{self, glob, is_host};
use super::super::role::Role;
use super::super::subject::Names;
use super::*;
use crate::service::secrets::parameters::Body;

fn of(body: &Value) -> Role {
    Role::default()
        .with(&Body::parse(body.to_string().as_bytes()).unwrap())
        .unwrap()
}

fn is_allowed(role: &Role, name: &str) -> bool {
    constraints::check(role, name, &Names::default(), "deploy").is_ok()
}

#[test]
fn a_role_allows_the_names_that_it_says_and_no_others() {
    let domain = |flags: Value| {
        let mut body = json!({"allowed_domains": "Example.com,second.org", "allow_localhost": false});
        merge(&mut body, flags);
        body
    };
    let table = [
        (
            domain(json!({})),
            vec![],
            vec![
                "example.com",
                "a.example.com",
                "localhost",
                "*.example.com",
                "deploy",
            ],
        ),
        (
            domain(json!({"allow_bare_domains": true})),
            vec!["example.com", "EXAMPLE.com", "second.org", "me@example.com"],
            vec![
                "a.example.com",
                "*.example.com",
                "example.com.evil.net",
                "notexample.com",
                "@example.com",
                "a@b@example.com",
            ],
        ),
        (
            domain(json!({"allow_subdomains": true})),
            vec![
                "a.example.com",
                "a.b.EXAMPLE.com",
                "*.example.com",
                "*.a.example.com",
                "w*.example.com",
                "me@a.example.com",
            ],
            vec![
                "example.com",
                "aexample.com",
                ".example.com",
                "a..example.com",
                "-a.example.com",
                "a b.example.com",
                "*",
                "*.*.example.com",
                "a.*.example.com",
                "**.example.com",
                "*.com",
                "me@*.example.com",
                "xn--*.example.com",
                "a.example.com.",
                "a.example.com.evil.net",
                "me@example.com",
            ],
        ),
        (
            domain(json!({"allow_subdomains": true, "allow_wildcard_certificates": false})),
            vec!["a.example.com"],
            vec!["*.example.com", "w*.example.com"],
        ),
        (
            json!({"allowed_domains": ["a-*.example.com", "*.plain.org"], "allow_glob_domains": true}),
            vec![
                "a-1.example.com",
                "a-2.EXAMPLE.com",
                "x.plain.org",
                "x.y.plain.org",
                "*.plain.org",
                "localhost",
            ],
            vec![
                "b-1.example.com",
                "a-1.example.com.evil.net",
                "plain.org",
                "xplain.org",
            ],
        ),
        (
            json!({"allowed_domains": "a-*.example.com"}),
            vec!["localhost", "localdomain"],
            vec!["a-1.example.com", "a.localhost", "*.localhost"],
        ),
        (
            json!({"allow_subdomains": true}),
            vec!["localhost", "a.localhost", "*.localdomain"],
            vec!["*", "mylocalhost"],
        ),
        (
            json!({"allow_any_name": true}),
            vec!["anything.at.all", "*.example.com", "me@example.com", "10.0.0.1"],
            vec!["two words", "*.*.example.com", "-a.example.com", "me@two words"],
        ),
        (
            json!({"allow_any_name": true, "enforce_hostnames": false}),
            vec!["two words", "Our Authority"],
            vec!["me@you@example.com"],
        ),
        (
            json!({"allow_any_name": true, "cn_validations": "email"}),
            vec!["me@example.com"],
            vec!["example.com"],
        ),
        (
            json!({"allow_any_name": true, "cn_validations": "hostname"}),
            vec!["example.com"],
            vec!["me@example.com"],
        ),
        (
            json!({"cn_validations": "disabled"}),
            vec!["two words", "what.you.like"],
            vec![],
        ),
        (
            json!({"allow_token_displayname": true}),
            vec!["deploy"],
            vec!["a.deploy", "deployed"],
        ),
        (
            json!({"allow_token_displayname": true, "allow_subdomains": true}),
            vec!["deploy", "a.deploy"],
            vec!["adeploy"],
        ),
    ];
    for (body, allowed, refused) in table {
        let role = of(&body);
        for name in allowed {
            assert!(is_allowed(&role, name), "{body} allows {name}");
        }
        for name in refused {
            assert!(!is_allowed(&role, name), "{body} does not allow {name}");
        }
    }
}

#[test]
fn other_names_are_checked_like_the_common_name() {
    let mut bench = with_root();
    role(
        &mut bench,
        json!({"allow_any_name": false, "allowed_domains": "example.com", "allow_subdomains": true, "allow_ip_sans": false}),
    );
    for (body, reason) in [
        (
            json!({"common_name": "evil.org"}),
            "common name evil.org not allowed by this role",
        ),
        (
            json!({"common_name": "a.example.com", "alt_names": "b.example.com,evil.org"}),
            "subject alternate name evil.org not allowed by this role",
        ),
        (
            json!({"common_name": "a.example.com", "alt_names": "me@evil.org"}),
            "email address me@evil.org not allowed by this role",
        ),
        (
            json!({"common_name": "a.example.com", "ip_sans": "10.0.0.1"}),
            "IP Subject Alternative Names are not allowed in this role, but was provided 10.0.0.1",
        ),
        (
            json!({"common_name": "a.example.com", "ip_sans": "10.0.0"}),
            "not a valid IP address",
        ),
        (
            json!({"common_name": "a.example.com", "uri_sans": "spiffe://a"}),
            "URI Subject Alternative Names",
        ),
        (
            json!({"common_name": "a.example.com", "serial_number": "7"}),
            "serial_number 7 not allowed",
        ),
        (json!({}), "the common_name field is required"),
    ] {
        let text = refused(&mut bench, "issue/web", &body);
        assert!(text.contains(reason), "{body}: {text}");
    }
    let fault = bench.ask(
        Operation::Update,
        "issue/web",
        &json!({"common_name": "a.example.com", "other_sans": "1.2.3;UTF8:x"}).to_string(),
    );
    assert!(matches!(fault, Err(Fault::Unimplemented(_))));
}

#[test]
fn the_names_of_a_certificate_are_those_that_were_asked_for() {
    let mut bench = with_root();
    role(
        &mut bench,
        json!({
            "allowed_uri_sans": "spiffe://cluster/*", "organization": ["Ours", "Theirs"], "country": "CH", "ou": "Ünit",
            "allowed_serial_numbers": "7*",
        }),
    );
    let data = write(
        &mut bench,
        "issue/web",
        &json!({
            "common_name": "a.example.com", "alt_names": "b.example.com,me@example.com", "ip_sans": "10.0.0.1,::1",
            "uri_sans": "spiffe://cluster/web", "serial_number": "77",
        }),
    );
    with_certificate(&data, |certificate| {
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        let names: Vec<String> = names
            .value
            .general_names
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            names,
            [
                "DNSName(a.example.com)",
                "DNSName(b.example.com)",
                "RFC822Name(me@example.com)",
                "IPAddress(0a:00:00:01)",
                "IPAddress(00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:01)",
                "URI(spiffe://cluster/web)",
            ]
        );
        assert_eq!(
            certificate.subject().to_string(),
            "C=CH, O=Ours + O=Theirs, OU=Ünit, CN=a.example.com, serialNumber=77"
        );
    });
    let refusal = refused(
        &mut bench,
        "issue/web",
        &json!({"common_name": "a.example.com", "uri_sans": "spiffe://other/web"}),
    );
    assert!(refusal.contains("not valid for this role"), "{refusal}");
    let excluded = json!({"common_name": "a.example.com", "exclude_cn_from_sans": true});
    let data = write(&mut bench, "issue/web", &excluded);
    with_certificate(&data, |certificate| {
        assert!(certificate.subject_alternative_name().unwrap().is_none());
    });
}

#[test]
fn a_common_name_that_is_not_checked_is_no_way_to_other_names() {
    let mut bench = with_root();
    role(
        &mut bench,
        json!({
            "allow_any_name": false, "allowed_domains": "dev.example.com", "allow_subdomains": true,
            "cn_validations": "disabled",
        }),
    );
    let request = |name: &str| {
        // Without other names of its own.
        let body = json!({"common_name": name, "key_type": "ec", "exclude_cn_from_sans": true});
        write(&mut super::bench(), "intermediate/generate/internal", &body)["csr"].clone()
    };
    for (name, reason) in [
        (
            "www.bank.example",
            "subject alternate name www.bank.example not allowed by this role",
        ),
        (
            "*.bank.example",
            "subject alternate name *.bank.example not allowed by this role",
        ),
        (
            "me@bank.example",
            "email address me@bank.example not allowed by this role",
        ),
    ] {
        let refusal = refused(&mut bench, "issue/web", &json!({"common_name": name}));
        assert_eq!(refusal, reason);
        let refusal = refused(&mut bench, "sign/web", &json!({"csr": request(name)}));
        assert_eq!(refusal, reason);
    }
    for (path, body, subject, count) in [
        (
            "issue/web",
            json!({"common_name": "www.bank.example", "exclude_cn_from_sans": true}),
            "CN=www.bank.example",
            0,
        ),
        (
            "sign/web",
            json!({"csr": request("me@bank.example"), "exclude_cn_from_sans": true}),
            "CN=me@bank.example",
            0,
        ),
        (
            "issue/web",
            json!({"common_name": "John Smith"}),
            "CN=John Smith",
            0,
        ),
        (
            "sign/web",
            json!({"csr": request("John Smith")}),
            "CN=John Smith",
            0,
        ),
        (
            "issue/web",
            json!({"common_name": "John Smith", "alt_names": "a.dev.example.com"}),
            "CN=John Smith",
            1,
        ),
        (
            "issue/web",
            json!({"common_name": "a.dev.example.com"}),
            "CN=a.dev.example.com",
            1,
        ),
    ] {
        let data = write(&mut bench, path, &body);
        with_certificate(&data, |certificate| {
            assert_eq!(certificate.subject().to_string(), subject);
            let names = certificate.subject_alternative_name().unwrap();
            let names = names.map_or(0, |names| names.value.general_names.len());
            assert_eq!(names, count, "{path} {body}");
        });
    }
}

#[test]
fn a_star_stands_for_any_text() {
    for (pattern, text, is_match) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("a*", "abc", true),
        ("a*c", "ac", true),
        ("a*c", "abcd", false),
        ("a*b*c", "a1b2b3c", true),
        ("a*a", "a", false),
        ("*ab*ab", "ab", false),
        ("abc", "abc", true),
        ("abc", "abcd", false),
    ] {
        assert_eq!(glob(pattern, text), is_match, "{pattern} {text}");
    }
}

#[test]
fn a_host_has_labels_of_letters_digits_and_hyphens() {
    let longest = format!("{}.com", "a".repeat(63));
    for name in [
        "a",
        "a.b",
        "*.a.b",
        "a_b.c",
        "1.2.3.4",
        "xn--bcher-kva.example",
        longest.as_str(),
        "a.",
    ] {
        assert!(is_host(name), "{name}");
    }
    let long = format!("{}.com", "a".repeat(64));
    for name in [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a b",
        "a*b.c",
        "ä.com",
        "a\n.com",
        "*.",
        long.as_str(),
    ] {
        assert!(!is_host(name), "{name:?}");
    }
}

#[test]
fn a_certificate_has_only_so_many_names_of_such_a_length() {
    use crate::base::limits::{MAXIMUM_PKI_NAME_BYTES, MAXIMUM_PKI_NAMES};
    let hosts = vec!["a".to_owned(); MAXIMUM_PKI_NAMES];
    let mut names = Names::parse(hosts, &[], Vec::new()).unwrap();
    assert_eq!(names.general().unwrap().len(), MAXIMUM_PKI_NAMES);
    names.hosts.push("b".to_owned());
    assert!(
        names
            .general()
            .unwrap_err()
            .to_string()
            .contains("the most is 256")
    );
    let names = Names::parse(vec!["a".repeat(MAXIMUM_PKI_NAME_BYTES + 1)], &[], Vec::new()).unwrap();
    assert!(names.general().unwrap_err().to_string().contains("1025 bytes"));
}
