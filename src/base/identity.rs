//! Member and cluster ids, computed as etcd does, so that the same flags give the same ids on both.
//!
//! A member is the SHA-1 of its peer URLs (sorted, joined) and the cluster token; a cluster is the SHA-1 of its member
//! ids in order. Of each, the first eight bytes count.

use sha1::{Digest, Sha1};

use super::{ClusterId, MemberId};

/// The id of a member that a cluster starts with; for one that is added later, etcd takes the seconds since the Unix epoch in
/// place of the token.
#[must_use]
pub fn member_id(peer_urls: &[String], cluster_token: &str) -> MemberId {
    let mut sorted: Vec<&str> = peer_urls.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut hasher = Sha1::new();
    for url in sorted {
        hasher.update(url);
    }
    hasher.update(cluster_token);
    MemberId(first_eight_bytes(hasher))
}

/// The id of the cluster that starts with these members, in whatever order they are.
#[must_use]
pub fn cluster_id(members: &[MemberId]) -> ClusterId {
    let mut sorted = members.to_vec();
    sorted.sort_unstable();
    let mut hasher = Sha1::new();
    for member in sorted {
        hasher.update(member.0.to_be_bytes());
    }
    ClusterId(first_eight_bytes(hasher))
}

fn first_eight_bytes(hasher: Sha1) -> u64 {
    let mut bytes = [0; 8];
    for (target, source) in bytes.iter_mut().zip(hasher.finalize()) {
        *target = source;
    }
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an etcd with default flags calls itself.
    #[test]
    fn the_ids_of_a_default_etcd_come_out() {
        let member = member_id(&["http://localhost:2380".to_owned()], "etcd-cluster");
        assert_eq!(member.to_string(), "8e9e05c52164694d");
        assert_eq!(cluster_id(&[member]).to_string(), "cdf818194e3a8c32");
    }

    #[test]
    fn order_does_not_matter() {
        let (a, b) = ("http://a:1".to_owned(), "http://b:1".to_owned());
        assert_eq!(member_id(&[a.clone(), b.clone()], "t"), member_id(&[b, a], "t"));
        let (one, two) = (MemberId(1), MemberId(2));
        assert_eq!(cluster_id(&[one, two]), cluster_id(&[two, one]));
    }
}
