//! Where checks may go, and who may have the cluster do them. A check is a request that a member makes because somebody
//! else wants it to; so it goes only where that is harmless.
//!
//! The address that is connected to is the one that was looked at: names are resolved once, redirects are looked at again.
//! Addresses that tell a machine its secrets (clouds' metadata, link-local) are refused unless a range names them as
//! exactly. Never decides by a name.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::service::registry::{CheckKind, NewCheck, RegistryError, Target, host_and_port, target_url};

/// Where checks may go unless it is said otherwise: this machine and private networks.
pub const DEFAULT_TARGETS: &str =
    "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7";

/// Ranges that a wider one does not open: link-local addresses, and where clouds answer their machines.
const GUARDED: [&str; 7] = [
    "169.254.0.0/16",
    "fe80::/10",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    "fd00:ec2::/32",
    "fd20:ce::/32",
];

/// Who may register checks that the cluster does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckRegistration {
    /// Nobody.
    Nobody,
    /// The role `root`, so only while authentication is enabled.
    Root,
    /// Whoever may register services.
    #[default]
    All,
}

/// Where checks may go, and who may register them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    targets: Vec<IpNet>,
    guarded: Vec<IpNet>,
    registration: CheckRegistration,
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(
            ranges(DEFAULT_TARGETS).unwrap_or_default(),
            CheckRegistration::All,
        )
    }
}

/// Reads ranges such as `10.0.0.0/8,192.0.2.1`.
///
/// # Errors
/// The part that is none.
pub fn ranges(text: &str) -> Result<Vec<IpNet>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let range: Option<IpNet> = part.parse().ok();
            let range = range.or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from));
            range.ok_or_else(|| part.to_owned())
        })
        .collect()
}

impl Policy {
    /// Checks may go to these ranges.
    #[must_use]
    pub fn new(targets: Vec<IpNet>, registration: CheckRegistration) -> Self {
        Self {
            targets,
            guarded: GUARDED.iter().filter_map(|range| range.parse().ok()).collect(),
            registration,
        }
    }

    /// Whether a check may connect to an address.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        // An IPv4 address may be written as one of IPv6.
        let address = address.to_canonical();
        let is_of_one = !address.is_unspecified()
            && !address.is_multicast()
            && address != IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
        let guard = self.guarded.iter().find(|range| range.contains(&address));
        is_of_one
            && self.targets.iter().any(|range| {
                range.contains(&address) && guard.is_none_or(|guard| range.prefix_len() >= guard.prefix_len())
            })
    }

    /// Whether checks may be registered, as far as that is known before they are done. `is_open`: authentication is off.
    ///
    /// # Errors
    /// The first that is refused.
    pub fn admit(&self, is_open: bool, checks: &[NewCheck]) -> Result<(), RegistryError> {
        for check in checks {
            let CheckKind::Probe(probe) = &check.definition.kind else {
                continue;
            };
            match self.registration {
                CheckRegistration::Nobody => {
                    return Err(RegistryError::ChecksRefused {
                        setting: "nobody",
                        advice: "; report a check with a time to live instead",
                    });
                }
                CheckRegistration::Root if is_open => {
                    return Err(RegistryError::ChecksRefused {
                        setting: "root",
                        advice: " until authentication is enabled; report a check with a time to live instead",
                    });
                }
                CheckRegistration::Root | CheckRegistration::All => {}
            }
            let (target, address) = match &probe.target {
                Target::Http(http) => (&http.url, written_in_url(&http.url)?),
                Target::Tcp { address, .. }
                | Target::Udp { address }
                | Target::Grpc { address, .. }
                | Target::H2Ping { address, .. } => (address, host_and_port(address)?.0.parse().ok()),
            };
            if let Some(address) = address.filter(|address| !self.allows(*address)) {
                return Err(RegistryError::ForbiddenTarget {
                    target: target.chars().take(MAXIMUM_SHOWN_CHARACTERS).collect(),
                    address,
                });
            }
        }
        Ok(())
    }
}

/// Characters of a refused target that are shown.
const MAXIMUM_SHOWN_CHARACTERS: usize = 64;

/// The address of a URL that has one instead of a name.
fn written_in_url(given: &str) -> Result<Option<IpAddr>, RegistryError> {
    Ok(match target_url(given)?.host() {
        Some(url::Host::Ipv4(address)) => Some(address.into()),
        Some(url::Host::Ipv6(address)) => Some(address.into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(targets: &str, address: &str) -> bool {
        let policy = Policy::new(ranges(targets).unwrap(), CheckRegistration::All);
        policy.allows(address.parse().unwrap())
    }

    #[test]
    fn checks_go_to_this_machine_and_private_networks_unless_it_is_said_otherwise() {
        for address in [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "192.168.0.1",
            "fd12::1",
            "::ffff:10.0.0.1",
            "100.64.0.1",
        ] {
            assert!(allowed(DEFAULT_TARGETS, address), "{address}");
        }
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "8.8.8.8",
            "2001:db8::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "64:ff9b::7f00:1",
        ] {
            assert!(!allowed(DEFAULT_TARGETS, address), "{address}");
        }
    }

    #[test]
    fn a_guarded_address_is_opened_by_no_wider_range() {
        assert!(allowed("0.0.0.0/0", "8.8.8.8"));
        for (targets, is_allowed) in [
            ("0.0.0.0/0", false),
            ("169.0.0.0/8", false),
            ("169.254.0.0/16", true),
            ("169.254.169.254", true),
            ("0.0.0.0/0,169.254.169.254/32", true),
        ] {
            assert_eq!(allowed(targets, "169.254.169.254"), is_allowed, "{targets}");
        }
        assert!(!allowed("0.0.0.0/0,::/0", "0.0.0.0"));
        assert_eq!(ranges("10.0.0.0/8, x"), Err("x".to_owned()));
    }
}
