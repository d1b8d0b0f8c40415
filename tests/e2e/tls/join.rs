//! A member that shows a certificate of somebody else's authority.

use super::eventually;
use super::site::{HOSTS, Site, text};
use crate::support::pki::Authority;
use crate::support::{Program, TestResult};

#[tokio::test]
async fn a_member_with_a_certificate_of_another_authority_cannot_join() -> TestResult {
    let site = Site::new(3)?;
    // It trusts the others, which do not trust it.
    Authority::new("peers")?
        .issue("peer2", &HOSTS)?
        .write(site.folder.path(), "peer2")?;
    let mut cluster = site.cluster(Program::stead()?).build()?;
    for node in 0..3 {
        cluster.node(node).start()?;
    }
    // The others form the cluster without it, refuse it, and say why.
    eventually(
        "two members have a leader, and one of them has refused the third",
        async || {
            let mut led = 0;
            for node in 0..2 {
                led += usize::from(cluster.status(node).await.is_ok_and(|status| status.leader != 0));
            }
            let mut refused = false;
            for node in &cluster.nodes()[..2] {
                let log = text(node.log_path())?;
                refused |= log
                    .lines()
                    .any(|line| line.contains("refused a connection") && line.contains("peer"));
            }
            Ok(led == 2 && refused)
        },
    )
    .await?;
    for _ in 0..20 {
        let status = cluster.status(2).await;
        assert!(
            status.as_ref().map_or(true, |status| status.leader == 0),
            "the third member knows a leader: {status:?}"
        );
        tokio::time::sleep(super::POLL_INTERVAL).await;
    }

    // With a certificate of the right authority it joins, without a restart of anybody.
    site.issue_node(2, &site.clients, &site.peers)?;
    cluster.wait_until_ready().await?;
    Ok(())
}
