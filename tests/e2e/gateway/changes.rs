//! The paths of the gateway that change users, roles and members, in an order in which each shows that it was that one.

use serde_json::{Value, json};

use super::client::{ask, post};
use crate::support::{Cluster, Program, Result, TestResult};

/// The answer to a request that must succeed.
async fn done(address: &str, path: &str, body: &Value, headers: &str) -> Result<Value> {
    let answer = ask(address, "POST", path, headers, &body.to_string()).await?;
    if answer.status != 200 {
        return Err(format!("{path} {body}: {} {}", answer.status, answer.body).into());
    }
    answer.json()
}

async fn manages_users_and_roles(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program).start().await?;
    let address = cluster.node(0).client_address();
    let header = json!({"revision": "1"});
    let only_header = json!({"header": header});
    let users = |names: &[&str]| json!({"header": header, "users": names});
    let roles = |names: &[&str]| json!({"header": header, "roles": names});
    let app = json!({"permType": "READWRITE", "key": "YQ==", "range_end": "Yg=="});
    let script = [
        (
            "status",
            json!({}),
            json!({"header": header, "authRevision": "1"}),
        ),
        (
            "user/add",
            json!({"name": "root", "password": "rootpw"}),
            only_header.clone(),
        ),
        (
            "user/add",
            json!({"name": "eve", "options": {"no_password": true}}),
            only_header.clone(),
        ),
        ("user/list", json!({}), users(&["eve", "root"])),
        ("user/delete", json!({"name": "eve"}), only_header.clone()),
        ("user/list", json!({}), users(&["root"])),
        ("role/add", json!({"name": "app"}), only_header.clone()),
        ("role/list", json!({}), roles(&["app"])),
        (
            "role/grant",
            json!({"name": "app", "perm": app}),
            only_header.clone(),
        ),
        (
            "role/get",
            json!({"role": "app"}),
            json!({"header": header, "perm": [app]}),
        ),
        (
            "role/revoke",
            json!({"role": "app", "key": "YQ==", "range_end": "Yg=="}),
            only_header.clone(),
        ),
        ("role/get", json!({"role": "app"}), only_header.clone()),
        (
            "user/grant",
            json!({"user": "root", "role": "app"}),
            only_header.clone(),
        ),
        ("user/get", json!({"name": "root"}), roles(&["app"])),
        (
            "user/revoke",
            json!({"name": "root", "role": "app"}),
            only_header.clone(),
        ),
        ("user/get", json!({"name": "root"}), only_header.clone()),
        ("role/delete", json!({"role": "app"}), only_header.clone()),
        ("role/list", json!({}), only_header.clone()),
        (
            "user/changepw",
            json!({"name": "root", "password": "another"}),
            only_header.clone(),
        ),
        (
            "user/grant",
            json!({"user": "root", "role": "root"}),
            only_header.clone(),
        ),
        ("enable", json!({}), only_header.clone()),
    ];
    for (path, body, expected) in script {
        let answer = done(&address, &format!("/v3/auth/{path}"), &body, "").await?;
        assert_eq!(answer, expected, "{path} {body}");
    }
    let login = json!({"name": "root", "password": "rootpw"});
    assert_eq!(post(&address, "/v3/auth/authenticate", &login).await?.status, 400);
    let login = json!({"name": "root", "password": "another"});
    let answer = done(&address, "/v3/auth/authenticate", &login, "").await?;
    let token = answer["token"].as_str().ok_or("no token")?;
    let authorization = format!("Authorization: {token}\r\n");
    let status = done(&address, "/v3/auth/status", &json!({}), &authorization).await?;
    assert_eq!(status["enabled"], true);
    let nobody = post(&address, "/v3/auth/disable", &json!({})).await?;
    assert_eq!(
        (nobody.status, &nobody.json()?["message"]),
        (400, &json!("etcdserver: user name is empty"))
    );
    done(&address, "/v3/auth/disable", &json!({}), &authorization).await?;
    let status = done(&address, "/v3/auth/status", &json!({}), "").await?;
    assert_eq!(status.get("enabled"), None, "what is false is left out");
    Ok(())
}

#[tokio::test]
async fn users_and_roles_are_managed_through_the_gateway_of_stead() -> TestResult {
    Ok(manages_users_and_roles(Program::stead()?).await?)
}

#[tokio::test]
async fn users_and_roles_are_managed_through_the_gateway_of_etcd_alike() -> TestResult {
    Ok(manages_users_and_roles(Program::etcd()?).await?)
}

async fn changes_members(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program).start().await?;
    let address = cluster.node(0).client_address();
    let urls = |port: u16| json!([format!("http://127.0.0.1:{port}")]);
    let added = json!({"peerURLs": urls(1), "isLearner": true});
    let added = done(&address, "/v3/cluster/member/add", &added, "").await?;
    let id = added["member"]["ID"].as_str().ok_or("no id")?;
    assert_eq!(
        added["member"],
        json!({"ID": id, "peerURLs": urls(1), "isLearner": true})
    );
    assert_eq!(added["members"].as_array().map(Vec::len), Some(2));

    let promoted = post(&address, "/v3/cluster/member/promote", &json!({"ID": id})).await?;
    let text = "etcdserver: can only promote a learner member which is in sync with leader";
    assert_eq!(
        (promoted.status, &promoted.json()?["message"]),
        (400, &json!(text))
    );
    // An etcd drops a change of the members that comes before it is done with the last one, which another write is not.
    let write = json!({"key": "YQ=="});
    done(&address, "/v3/kv/put", &write, "").await?;
    let change = json!({"ID": id, "peerURLs": urls(2)});
    let updated = done(&address, "/v3/cluster/member/update", &change, "").await?;
    let member = |members: &Value| {
        let members = members["members"].as_array().cloned().unwrap_or_default();
        members.into_iter().find(|member| member["ID"] == id)
    };
    assert_eq!(member(&updated).ok_or("not listed")?["peerURLs"], urls(2));
    done(&address, "/v3/kv/put", &write, "").await?;
    let removed = done(&address, "/v3/cluster/member/remove", &json!({"ID": id}), "").await?;
    assert_eq!(member(&removed), None);

    let downgrade = json!({"action": "VALIDATE", "version": "nonsense"});
    let refused = post(&address, "/v3/maintenance/downgrade", &downgrade).await?;
    let text = "etcdserver: wrong downgrade target version format";
    assert_eq!((refused.status, &refused.json()?["message"]), (400, &json!(text)));
    Ok(())
}

#[tokio::test]
async fn members_are_changed_through_the_gateway_of_stead() -> TestResult {
    Ok(changes_members(Program::stead()?).await?)
}

#[tokio::test]
async fn members_are_changed_through_the_gateway_of_etcd_alike() -> TestResult {
    Ok(changes_members(Program::etcd()?).await?)
}
