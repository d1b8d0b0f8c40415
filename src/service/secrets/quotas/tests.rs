use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::base::limits::MAXIMUM_QUOTA_CLIENTS;

fn quota(path: &str, rate: f64, interval: u64, block: u64) -> Quota {
    Quota {
        path: path.to_owned(),
        rate,
        interval: Duration::from_secs(interval),
        block: Duration::from_secs(block),
    }
}

fn of(quotas: &[(&str, Quota)]) -> Quotas {
    let mut all = Quotas::default();
    for (name, quota) in quotas {
        all.put(name, quota.clone()).expect("a quota that can be");
    }
    all
}

fn address(number: u32) -> Option<IpAddr> {
    Some(IpAddr::V4(Ipv4Addr::from(number)))
}

#[test]
fn the_most_specific_quota_of_a_path_is_the_one_it_is_under() {
    let mut quotas = of(&[
        ("all", quota("", 1.0, 1, 0)),
        ("kv", quota("kv/", 1.0, 1, 0)),
        ("apps", quota("kv/data/*", 1.0, 1, 0)),
        ("web", quota("kv/data/web*", 1.0, 1, 0)),
        ("one", quota("kv/data/web/one", 1.0, 1, 0)),
    ]);
    quotas.config.exempt_paths = ["sys/health", "kv/config/", "auth/*"].map(str::to_owned).to_vec();
    for (path, name) in [
        ("sys/mounts", Some("all")),
        ("kv2/data/a", Some("all")),
        ("kv/metadata/a", Some("kv")),
        ("kv", Some("kv")),
        ("kv/data/a", Some("apps")),
        ("kv/data/", Some("apps")),
        ("kv/data/web", Some("web")),
        ("kv/data/web2/one", Some("web")),
        ("kv/data/web/one", Some("one")),
        ("kv/data/web/one/", Some("one")),
        ("kv/data/web/one/two", Some("web")),
        ("sys/health", None),
        ("sys/health/", None),
        ("sys/healthy", Some("all")),
        ("kv/config/a", None),
        ("kv/config", Some("kv")),
        ("auth/token/create", None),
    ] {
        let found = quotas.of(path).map(|(name, _)| name.as_str());
        assert_eq!(found, name, "{path}");
    }
}

#[test]
fn an_address_is_refused_when_its_interval_is_used_up_and_served_in_the_next_one() {
    let quotas = of(&[("all", quota("", 2.0, 10, 0))]);
    let limiter = Limiter::default();
    let take = |client: u32, milliseconds: u64| {
        let now = Duration::from_millis(milliseconds);
        let taken = limiter.take(&quotas, "kv/a", address(client), now);
        let told = |allowance: Allowance| (allowance.limit, allowance.remaining, allowance.reset_seconds);
        taken.map(|allowance| allowance.map(told)).map_err(told)
    };
    assert_eq!(take(1, 5_000), Ok(Some((2, 1, 10))));
    assert_eq!(take(1, 9_500), Ok(Some((2, 0, 6))));
    assert_eq!(take(1, 14_999), Err((2, 0, 1)));
    assert_eq!(take(2, 14_999), Ok(Some((2, 1, 10))));
    assert_eq!(take(1, 15_000), Ok(Some((2, 1, 10))));
}

#[test]
fn an_address_that_was_refused_is_so_for_as_long_as_it_is_blocked() {
    let quotas = of(&[("all", quota("", 1.0, 10, 60))]);
    let limiter = Limiter::default();
    let take = |seconds| limiter.take(&quotas, "kv/a", address(1), Duration::from_secs(seconds));
    assert!(take(0).is_ok());
    for (now, left) in [(1, 60), (30, 31), (60, 1)] {
        assert_eq!(take(now).map_err(|told| told.reset_seconds), Err(left), "{now}");
    }
    assert!(take(61).is_ok());
}

#[test]
fn paths_without_a_quota_are_not_counted_and_a_changed_quota_counts_anew() {
    let mut quotas = of(&[("kv", quota("kv/", 1.0, 10, 0))]);
    let limiter = Limiter::default();
    let take = |quotas: &Quotas, path: &str| limiter.take(quotas, path, address(1), Duration::ZERO);
    assert_eq!(take(&quotas, "other/a"), Ok(None));
    assert!(take(&quotas, "kv/a").is_ok());
    assert!(take(&quotas, "kv/a").is_err());
    quotas.put("kv", quota("kv/", 1.5, 10, 0)).expect("changed");
    let told = take(&quotas, "kv/a").expect("it is another quota now");
    assert_eq!(told.map(|told| (told.limit, told.remaining)), Some((2, 1)));
    assert!(quotas.remove("kv"));
    assert_eq!(take(&quotas, "kv/a"), Ok(None));
    assert_eq!(limiter.clients("kv"), 0);
}

#[test]
fn more_addresses_than_are_counted_are_counted_together() {
    let quotas = of(&[("all", quota("", 1.0, 10, 0))]);
    let limiter = Limiter::default();
    let take = |client: u32, seconds| {
        let now = Duration::from_secs(seconds);
        limiter.take(&quotas, "kv/a", address(client), now).is_ok()
    };
    let most = u32::try_from(MAXIMUM_QUOTA_CLIENTS).expect("a small number");
    assert!((0..most).all(|client| take(client, 0)));
    assert!(take(most, 1), "the first of the others");
    assert!(!take(most + 1, 1), "the second of the others");
    assert!(!take(3, 1), "one that is counted for itself");
    assert_eq!(limiter.clients("all"), MAXIMUM_QUOTA_CLIENTS);
    // When the intervals are over there is room again.
    assert!(take(most, 10) && take(most + 1, 10) && !take(most, 10));
    assert_eq!(limiter.clients("all"), 2);
}

#[test]
fn a_quota_that_cannot_be_is_refused() {
    let mut quotas = of(&[("kv", quota("kv/", 1.0, 1, 0))]);
    for (name, wrong, reason) in [
        ("a", quota("", 0.0, 1, 0), "'rate' is 0"),
        ("a", quota("", -1.0, 1, 0), "'rate' is -1"),
        ("a", quota("", f64::NAN, 1, 0), "'rate' is NaN"),
        ("a", quota("", 2e9, 1, 0), "'rate' is 2000000000"),
        ("a", quota("", 1.0, 0, 0), "'interval' is less than a second"),
        ("a", quota("kv/", 1.0, 1, 0), "exists under the name \"kv\""),
        ("", quota("", 1.0, 1, 0), "from 1 to 256 bytes"),
        ("a/b", quota("", 1.0, 1, 0), "no slash"),
    ] {
        let refused = quotas.put(name, wrong).expect_err("it is refused").to_string();
        assert!(refused.contains(reason), "{refused}");
    }
    let most = MAXIMUM_SECRET_QUOTAS - 1;
    for number in 0..most {
        let path = format!("kv/{number}");
        quotas
            .put(&number.to_string(), quota(&path, 1.0, 1, 0))
            .expect("there is room");
    }
    let refused = quotas
        .put("more", quota("", 1.0, 1, 0))
        .expect_err("there is no room");
    assert!(refused.to_string().contains("there are 256 quotas"), "{refused}");
    quotas
        .put("kv", quota("kv/", 2.0, 1, 0))
        .expect("it is there already");
    let config = Config {
        exempt_paths: vec!["a".to_owned(); MAXIMUM_QUOTA_EXEMPTIONS + 1],
        ..Config::default()
    };
    assert!(quotas.configure(config).is_err());
}

proptest! {
    #[test]
    fn no_address_is_served_more_often_in_an_interval_than_its_quota_allows(
        rate in 1_u64..5,
        block in 0_u64..20,
        pauses in prop::collection::vec(0_u64..4_000, 1..200),
    ) {
        let quotas = of(&[("all", quota("", rate as f64, 5, block))]);
        let limiter = Limiter::default();
        let mut now = Duration::ZERO;
        let mut served: Vec<Duration> = Vec::new();
        let mut begun: Option<Duration> = None;
        for pause in pauses {
            now += Duration::from_millis(pause);
            if limiter.take(&quotas, "kv/a", address(1), now).is_ok() {
                if begun.is_none_or(|begun| now >= begun + Duration::from_secs(5)) {
                    begun = Some(now);
                    served.clear();
                }
                served.push(now);
                prop_assert!(served.len() as u64 <= rate, "{:?}", served);
            }
        }
    }
}
