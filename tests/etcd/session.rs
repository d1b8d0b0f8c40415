//! One run of one script against one cluster.

use std::collections::BTreeMap;

use stead::proto::etcdserverpb::StatusRequest;

use super::script::Script;
use super::watch::Streams;
use super::words::Words;
use super::{auth, changes, contest, etcdctl, kv, lease, members};
use crate::support::{Clients, Cluster, Result};

/// The clients of a running script. Commands go to one node after another, since every node has to give the same
/// answer. Before a command that a node answers from what it has applied itself, it is made to catch up; the local
/// state of one node, such as its watches, is always that of the first.
pub struct Session {
    nodes: Vec<Clients>,
    endpoints: Vec<String>,
    next: usize,
    streams: Streams,
    is_etcd: bool,
    /// The tokens of those who have logged in.
    tokens: BTreeMap<String, String>,
}

impl Session {
    pub fn new(cluster: &Cluster, is_etcd: bool) -> Result<Self> {
        let nodes = (0..cluster.size())
            .map(|node| cluster.clients(node))
            .collect::<Result<_>>()?;
        Ok(Self {
            nodes,
            endpoints: cluster.endpoints(),
            next: 0,
            streams: Streams::default(),
            is_etcd,
            tokens: BTreeMap::new(),
        })
    }

    /// Runs every step and returns what was answered to each.
    pub async fn run(&mut self, script: &Script) -> Result<Vec<Vec<String>>> {
        let mut answers = Vec::new();
        for step in script.steps() {
            if self.is_etcd && !step.is_for_etcd() {
                answers.push(Vec::new());
                continue;
            }
            let answer = self.command(&step.command).await;
            answers.push(answer.map_err(|error| format!("{}:{}: {error}", script.name, step.line))?);
        }
        Ok(answers)
    }

    async fn command(&mut self, lines: &[String]) -> Result<Vec<String>> {
        let (first, below) = lines.split_first().ok_or("a step without a command")?;
        let is_local = first.contains("serializable");
        let mut words = Words::of(first);
        match words.next("a command")?.as_str() {
            "range" if is_local => kv::range_command(self.first_node().await?, words).await,
            "range" => kv::range_command(self.next_informed_node().await?, words).await,
            "stream" => kv::stream_command(self.next_node(), words).await,
            "put" => kv::put_command(self.next_informed_node().await?, words).await,
            "delete" => kv::delete_command(self.next_informed_node().await?, words).await,
            "txn" => kv::transaction_command(self.next_settled_node().await?, below).await,
            "compact" => kv::compact_command(self.next_node(), words).await,
            "lease" if first.starts_with("lease list") => {
                lease::command(self.first_node().await?, words).await
            }
            "lease" => lease::command(self.next_settled_node().await?, words).await,
            "lock" => contest::lock_command(self.next_settled_node().await?, words).await,
            "election" => contest::election_command(self.next_settled_node().await?, words).await,
            "watch" => {
                let clients = self.first_node().await?.clone();
                self.streams.command(&clients, words).await
            }
            "members" => {
                let nodes = self.nodes.len();
                members::members_command(self.next_node(), nodes, words).await
            }
            "member" => changes::member_command(self.next_node(), words).await,
            "move-leader" => changes::move_leader_command(self.leader().await?, words).await,
            "downgrade" => changes::downgrade_command(self.next_node(), words).await,
            "status" => members::status_command(self.first_node().await?, words).await,
            "hash" => members::hash_command(self.first_node().await?, words).await,
            "hashkv" => members::hash_kv_command(self.first_node().await?, words).await,
            "auth" if first == "auth status" => auth::status(self.first_node().await?).await,
            "auth" | "user" | "role" => auth::command(self.next_node(), Words::of(first)).await,
            "login" => {
                let (answer, token) = auth::login(self.next_node(), &mut words).await?;
                if let Some((name, token)) = token {
                    self.tokens.insert(name.clone(), token);
                    self.become_user(&name);
                }
                Ok(answer)
            }
            "as" => {
                self.become_user(&words.next("a user")?);
                words.finish()?;
                Ok(vec!["ok".to_owned()])
            }
            "etcdctl" => {
                self.next_node();
                etcdctl::command(&self.endpoints[self.next], words, below).await
            }
            other => Err(format!("{other} is no command").into()),
        }
    }

    /// Sends what follows as a user who has logged in, as `nobody`, or with the name as the token.
    fn become_user(&self, name: &str) {
        let token = self.tokens.get(name).map_or(name, String::as_str);
        for node in &self.nodes {
            node.token.set((name != "nobody").then_some(token));
        }
    }

    fn next_node(&mut self) -> &mut Clients {
        self.next = (self.next + 1) % self.nodes.len();
        &mut self.nodes[self.next]
    }

    /// The node that leads, for what no other does.
    async fn leader(&mut self) -> Result<&mut Clients> {
        for node in &mut self.nodes {
            let status = node.maintenance.status(StatusRequest {}).await?.into_inner();
            if status
                .header
                .is_some_and(|header| header.member_id == status.leader)
            {
                return Ok(node);
            }
        }
        Err("no node leads".into())
    }

    /// The next node, for what it may answer without asking the others: a transaction without operations, or with the
    /// revision it has applied in the header, as for leases.
    async fn next_settled_node(&mut self) -> Result<&mut Clients> {
        settled(self.next_node()).await
    }

    /// The next node; an etcd refuses a token that is newer than what the node knows of users ("revision in header is old").
    async fn next_informed_node(&mut self) -> Result<&mut Clients> {
        if self.is_etcd && !self.tokens.is_empty() {
            return self.next_settled_node().await;
        }
        Ok(self.next_node())
    }

    async fn first_node(&mut self) -> Result<&mut Clients> {
        settled(&mut self.nodes[0]).await
    }
}

/// The node, when it has applied all that was acknowledged before: a linearizable read waits for that.
async fn settled(clients: &mut Clients) -> Result<&mut Clients> {
    let barrier = kv::range_request(&mut Words::of("barrier count_only"))?;
    // Whoever may not read waits all the same.
    let _ = clients.kv.range(barrier).await;
    Ok(clients)
}
