use serde_json::{Value, json};

use super::Kubernetes;
use crate::service::secrets::engine::testing::Bench;
use crate::service::secrets::engine::{Engine, Errand, Fault, Login};
use crate::service::secrets::login::tests::renewals_follow;
use crate::service::secrets::policy::Operation::{self, Delete, List, Read, Update};

const NOW: u64 = 1_700_000_000;
/// What clients are tested with: no certificate at all.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\\n.....\\n-----END CERTIFICATE-----";

struct Cluster(Bench<Kubernetes>);

impl Cluster {
    fn new(role: &Value) -> Self {
        let mut bench = Self(Bench::new(Kubernetes, "kubernetes", "auth/kubernetes/", &[]));
        let config = json!({"kubernetes_host": "https://10.0.0.1:6443/", "kubernetes_ca_cert": AUTHORITY});
        bench.ask(Update, "config", &config).unwrap();
        bench.ask(Update, "role/web", role).unwrap();
        bench
    }

    fn ask(&mut self, operation: Operation, path: &str, body: &Value) -> Result<Value, Fault> {
        self.0.data(operation, path, &body.to_string())
    }

    fn login(&mut self, token: &str) -> Result<Login, Fault> {
        let body = json!({"role": "web", "jwt": token}).to_string();
        Ok(self.0.ask(Update, "login", &body)?.login.unwrap())
    }

    /// Logs in, with what the cluster answers.
    fn reviewed(&mut self, token: &str, status: &Value) -> Result<Login, Fault> {
        let Err(Fault::Fetch(errand)) = self.login(token) else {
            panic!("nobody was asked");
        };
        let review = json!({"kind": "TokenReview", "status": status}).to_string();
        self.0.fetched.insert(errand.clone(), Ok(review.into_bytes()));
        let answer = self.login(token);
        self.0.fetched.remove(&errand);
        answer
    }
}

fn role() -> Value {
    json!({"bound_service_account_names": "web-*,api", "bound_service_account_namespaces": ["prod"], "token_policies": "web"})
}

fn token(claims: &Value) -> String {
    use base64::Engine as _;
    let part = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "RS256"})), part(claims))
}

fn status(user: &str) -> Value {
    json!({"authenticated": true, "user": {"username": user, "uid": "u-1"}})
}

#[test]
fn an_account_that_the_cluster_names_logs_in() {
    let mut bench = Cluster::new(&role());
    let token = token(&json!({"exp": NOW + 60}));
    let login = bench
        .reviewed(&token, &status("system:serviceaccount:prod:web-1"))
        .unwrap();
    assert_eq!(
        (login.alias.as_str(), login.display_name.as_str()),
        ("u-1", "prod-web-1")
    );
    assert_eq!(login.policies, ["web"]);
    for (name, text) in [
        ("role", "web"),
        ("service_account_name", "web-1"),
        ("service_account_namespace", "prod"),
        ("service_account_uid", "u-1"),
    ] {
        assert_eq!(login.metadata[name], text, "{name}");
    }
    bench
        .ask(
            Update,
            "role/web",
            &json!({"alias_name_source": "serviceaccount_name"}),
        )
        .unwrap();
    let login = bench
        .reviewed(&token, &status("system:serviceaccount:prod:api"))
        .unwrap();
    assert_eq!(login.alias, "prod/api");
    assert!(Kubernetes.is_open("login") && !Kubernetes.is_open("config"));
}

#[test]
fn whom_the_cluster_does_not_name_or_the_role_not_want_is_denied() {
    let mut bench = Cluster::new(&role());
    let token = token(&json!({}));
    for status in [
        json!({"authenticated": false, "user": {"username": "system:serviceaccount:prod:api", "uid": "u"}}),
        json!({"user": {"username": "system:serviceaccount:prod:api", "uid": "u"}}),
        json!({}),
        status("system:serviceaccount:prod:other"),
        status("system:serviceaccount:dev:api"),
        status("system:serviceaccount:prod:api2"),
        status("system:serviceaccount::api"),
        status("system:serviceaccount:prod:"),
        status("system:node:prod:api"),
        status("alice"),
        json!({"authenticated": true, "user": {"username": "system:serviceaccount:prod:api"}}),
    ] {
        assert!(
            matches!(bench.reviewed(&token, &status), Err(Fault::Denied)),
            "{status}"
        );
    }
}

#[test]
fn the_question_goes_to_the_cluster_with_the_token_of_who_may_ask() {
    let mut bench = Cluster::new(&role());
    let mut token = token(&json!({}));
    let Err(Fault::Fetch(errand)) = bench.login(&token) else {
        panic!("nobody was asked")
    };
    let review =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    assert_eq!(
        errand,
        Errand {
            url: "https://10.0.0.1:6443/apis/authentication.k8s.io/v1/tokenreviews".to_owned(),
            authorities: AUTHORITY.to_owned(),
            body: Some(review.to_string()),
            bearer: token.clone(),
        }
    );
    let config = json!({"kubernetes_host": "https://k.test", "token_reviewer_jwt": "hunter2"});
    bench.ask(Update, "config", &config).unwrap();
    bench
        .ask(Update, "role/web", &json!({"audience": "stead"}))
        .unwrap();
    token.push('\n');
    let Err(Fault::Fetch(errand)) = bench.login(&token) else {
        panic!("nobody was asked")
    };
    assert_eq!(errand.bearer, "hunter2");
    let sent: Value = serde_json::from_str(&errand.body.unwrap()).unwrap();
    assert_eq!(
        sent["spec"],
        json!({"token": token.trim(), "audiences": ["stead"]})
    );
    let shown = bench.ask(Read, "config", &json!({})).unwrap();
    assert_eq!(shown["token_reviewer_jwt_set"], true);
    assert!(!shown.to_string().contains("hunter2"));
}

#[test]
fn a_token_is_for_the_audience_of_the_role() {
    let mut bench = Cluster::new(&role());
    bench
        .ask(Update, "role/web", &json!({"audience": "stead"}))
        .unwrap();
    for (said, claims, is_good) in [
        (json!(["stead"]), json!({}), true),
        (json!(["other"]), json!({"aud": "stead"}), false),
        (json!([]), json!({"aud": ["stead"]}), true),
        (json!([]), json!({"aud": "stead"}), true),
        (json!([]), json!({"aud": "other"}), false),
        (json!([]), json!({}), false),
    ] {
        let mut status = status("system:serviceaccount:prod:api");
        status["audiences"] = said.clone();
        let answer = bench.reviewed(&token(&claims), &status);
        assert_eq!(answer.is_ok(), is_good, "{said} {claims}");
    }
}

#[test]
fn nobody_is_asked_about_what_cannot_be_good() {
    let mut bench = Cluster::new(&role());
    for (text, reason) in [
        (
            "a.b".to_owned(),
            "error parsing jwt: compact JWS format must have three parts",
        ),
        (
            token(&json!({"exp": NOW})),
            "invalid expiration time (exp) claim: token is expired",
        ),
        (
            token(&json!({"nbf": NOW + 1})),
            "invalid not before (nbf) claim: token not yet valid",
        ),
    ] {
        assert_eq!(bench.login(&text).unwrap_err().to_string(), reason);
    }
    let config = json!({"kubernetes_host": "https://k.test", "disable_iss_validation": false});
    bench.ask(Update, "config", &config).unwrap();
    assert_eq!(
        bench.login(&token(&json!({}))).unwrap_err().to_string(),
        "invalid issuer (iss) claim"
    );
    let pair = rcgen::KeyPair::generate().unwrap();
    let config = json!({"kubernetes_host": "https://k.test", "pem_keys": [pair.public_key_pem()]});
    bench.ask(Update, "config", &config).unwrap();
    assert!(
        matches!(bench.login(&token(&json!({}))), Err(Fault::Denied)),
        "signed by somebody else"
    );
    for (body, text) in [
        (json!({"jwt": "a"}), "missing role"),
        (json!({"role": "web"}), "missing jwt"),
        (json!({"role": "none", "jwt": "a"}), "invalid role name \"none\""),
    ] {
        assert_eq!(bench.ask(Update, "login", &body).unwrap_err().to_string(), text);
    }
}

#[test]
fn a_configuration_and_a_role_say_enough() {
    let mut bench = Cluster::new(&role());
    for (path, body, text) in [
        ("config", json!({}), "no host provided"),
        (
            "config",
            json!({"kubernetes_host": "k.test"}),
            "kubernetes_host is no URL",
        ),
        (
            "config",
            json!({"kubernetes_host": "https://k", "disable_local_ca_jwt": true}),
            "kubernetes_ca_cert must be given",
        ),
        (
            "config",
            json!({"kubernetes_host": "https://k", "kubernetes_ca_cert": "ca"}),
            "kubernetes_ca_cert holds no",
        ),
        (
            "config",
            json!({"kubernetes_host": "https://k", "pem_keys": ["pem_key"]}),
            "pem_keys: ",
        ),
        (
            "role/a",
            json!({"bound_service_account_names": "*"}),
            "\"bound_service_account_namespaces\" can not be empty",
        ),
        (
            "role/a",
            json!({"bound_service_account_namespaces": "*"}),
            "\"bound_service_account_names\" can not be empty",
        ),
        (
            "role/a",
            json!({"bound_service_account_names": "*", "bound_service_account_namespaces": "*", "alias_name_source": "x"}),
            "invalid alias_name_source",
        ),
    ] {
        let error = bench.ask(Update, path, &body).unwrap_err().to_string();
        assert!(error.starts_with(text), "{body}: {error}");
    }
    let shown = bench.ask(Read, "config", &json!({})).unwrap();
    assert_eq!(
        (&shown["kubernetes_host"], &shown["kubernetes_ca_cert"]),
        (&json!("https://10.0.0.1:6443"), &json!(AUTHORITY))
    );
    let shown = bench.ask(Read, "role/web", &json!({})).unwrap();
    assert_eq!(shown["bound_service_account_names"], json!(["web-*", "api"]));
    assert_eq!(
        bench.ask(List, "role/", &json!({})).unwrap(),
        json!({"keys": ["web"]})
    );
    bench.ask(Delete, "role/web", &json!({})).unwrap();
    assert!(matches!(
        bench.ask(Read, "role/web", &json!({})),
        Err(Fault::Missing)
    ));
    let selector = json!({"bound_service_account_namespace_selector": "{}"});
    assert!(matches!(
        bench.ask(Update, "role/a", &selector),
        Err(Fault::Unimplemented(_))
    ));
}

#[test]
fn a_renewal_follows_the_role_and_asks_nobody() {
    let mut bench = Cluster::new(&role());
    let status = status("system:serviceaccount:prod:api");
    let login = bench.reviewed(&token(&json!({})), &status).unwrap();
    let gone = "role \"web\" does not exist during renewal";
    renewals_follow(&mut bench.0, "role/web", &login, gone);
}
