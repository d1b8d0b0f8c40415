mod errors;

use super::*;

fn parse_with(arguments: &[&str], environment: &[(&str, &str)]) -> Result<ServerConfig, ConfigError> {
    let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    match parse(&arguments, &environment)? {
        Invocation::Run(config) => Ok(*config),
        other => panic!("{other:?}"),
    }
}

fn texts(addresses: &[ListenAddress]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn error_of(arguments: &[&str]) -> String {
    parse_with(arguments, &[]).unwrap_err().to_string()
}

#[test]
fn no_flag_is_twice_in_the_table() {
    let mut names: Vec<&str> = flags::all().map(|flag| flag.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn the_old_names_of_experimental_flags_are_known() {
    let flag = flags::find("experimental-watch-progress-notify-interval").unwrap();
    assert_eq!(flag.name, "watch-progress-notify-interval");
    assert!(flags::find("experimental-nonsense").is_none());
    assert!(flags::find("nonsense").is_none());
}

#[test]
fn without_flags_the_defaults_of_etcd_hold() {
    let config = parse_with(&[], &[]).unwrap();
    assert_eq!(config.name, "default");
    assert_eq!(config.data_folder, PathBuf::from("default.etcd"));
    assert_eq!(texts(&config.listen_client), ["http://127.0.0.1:2379"]);
    assert_eq!(texts(&config.listen_peer), ["http://127.0.0.1:2380"]);
    assert_eq!((&config.client_tls, &config.peer_tls), (&None, &None));
    assert_eq!(config.advertise_client_urls, ["http://localhost:2379"]);
    assert_eq!(config.advertise_peer_urls, ["http://localhost:2380"]);
    assert_eq!(config.member.to_string(), "8e9e05c52164694d");
    assert_eq!(config.cluster.to_string(), "cdf818194e3a8c32");
    assert_eq!(config.initial_members.len(), 1);
    assert!(config.new_cluster);
    assert_eq!(config.heartbeat, Duration::from_millis(100));
    assert_eq!(config.election, Duration::from_secs(1));
    assert_eq!(config.snapshot_entries, 10_000);
    assert_eq!(config.maximum_request_bytes, 1_572_864);
    assert_eq!(config.maximum_txn_operations, 128);
    assert_eq!(config.quota_bytes, Some(2_147_483_648));
    assert_eq!(config.auto_compaction, AutoCompaction::Off);
    assert_eq!(config.maximum_concurrent_streams, u32::MAX);
    assert_eq!(config.keepalive.interval, Some(Duration::from_secs(7_200)));
    assert_eq!(config.keepalive.timeout, Some(Duration::from_secs(20)));
    assert_eq!(config.watch_progress_interval, Duration::from_secs(600));
    let ttl = Duration::from_secs(300);
    assert_eq!(config.tokens, TokenSettings::Simple { ttl });
    assert!(config.gateway);
    assert!(!config.extensive_metrics);
    assert_eq!(config.slow_request, Duration::from_millis(300));
    assert_eq!(config.slow_apply, Duration::from_millis(100));
    assert_eq!((&config.cors_origins, &config.host_names), (&None, &None));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.log.outputs, [LogOutput::Stderr]);
    assert_eq!(config.warnings, [] as [&str; 0]);
}

#[test]
fn metrics_are_basic_or_extensive() {
    let config = parse_with(
        &["--metrics=extensive", "--experimental-warning-apply-duration=1s"],
        &[],
    )
    .unwrap();
    assert!(config.extensive_metrics);
    assert_eq!(config.slow_apply, Duration::from_secs(1));
    assert_eq!(config.warnings, [] as [&str; 0]);
    let error = parse_with(&["--metrics=all"], &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--metrics is \"all\": write basic or extensive"
    );
}

#[test]
fn a_flag_wins_over_the_environment_and_stead_over_etcd() {
    let environment = [("ETCD_NAME", "etcd"), ("STEAD_NAME", "stead")];
    assert_eq!(parse_with(&["--name=flag"], &environment).unwrap().name, "flag");
    assert_eq!(parse_with(&[], &environment).unwrap().name, "stead");
    assert_eq!(parse_with(&[], &environment[..1]).unwrap().name, "etcd");
    assert_eq!(parse_with(&[], &[("STEAD_NAME", "")]).unwrap().name, "default");
}

#[test]
fn all_forms_of_a_flag_are_read() {
    for arguments in [
        &["--name=a"][..],
        &["-name=a"],
        &["--name", "a"],
        &["-name", "a"],
        &["-name", "b", "-name", "a"],
        &["--pre-vote", "--name=a"],
        &["--pre-vote=false", "-name", "a"],
    ] {
        assert_eq!(parse_with(arguments, &[]).unwrap().name, "a", "{arguments:?}");
    }
}

#[test]
fn a_file_replaces_flags_and_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stead.yaml");
    std::fs::write(
        &path,
        "# etcd's keys\nname: file\nheartbeat-interval: 50\nlog-outputs: [stderr, stdout]\nstrict-reconfig-check: false\n\
         quota-backend-bytes: -1\ngrpc-keepalive-interval: 7000000000\nauto-compaction-retention: \"2\"\ndiscovery:\n\
         client-transport-security:\n  cert-file:\n  client-cert-auth: false\n",
    )
    .unwrap();
    let flag = format!("--config-file={}", path.display());
    let config = parse_with(&[&flag, "--name=flag"], &[("ETCD_ELECTION_TIMEOUT", "2000")]).unwrap();
    assert_eq!(config.name, "file");
    assert_eq!(config.heartbeat, Duration::from_millis(50));
    assert_eq!(config.election, Duration::from_secs(1));
    assert_eq!(config.quota_bytes, None);
    assert_eq!(config.keepalive.interval, Some(Duration::from_secs(7)));
    assert_eq!(
        config.auto_compaction,
        AutoCompaction::Periodic(Duration::from_secs(7_200))
    );
    assert_eq!(config.log.outputs, [LogOutput::Stderr, LogOutput::Stdout]);
    let warnings = config.warnings.join("\n");
    assert!(
        warnings.contains("--name is ignored, since --config-file"),
        "{warnings}"
    );
    assert!(warnings.contains("ETCD_ELECTION_TIMEOUT"), "{warnings}");
    assert!(!config.strict_reconfiguration);
    assert_eq!(config.maximum_learners, 1);

    for (text, part) in [
        ("nonsense: 1", "unknown key \"nonsense\""),
        ("name: {a: b}", "nested value for \"name\""),
        ("- a", "one `name: value` on each line"),
        ("name: [", "is no valid YAML"),
        (
            "client-transport-security: {nonsense: 1}",
            "unknown key \"nonsense\" in \"client-transport-security\"",
        ),
        ("peer-transport-security: 1", "below \"peer-transport-security\""),
        ("force-new-cluster: true", "not supported yet"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = error_of(&[&flag]);
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(error_of(&["--config-file=/nowhere/stead.yaml"]).contains("cannot be read"));
}

#[test]
fn a_cluster_has_the_same_ids_on_all_members() {
    let cluster = "--initial-cluster=a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3";
    let member = |name: &str, port: u16| {
        let name = format!("--name={name}");
        let url = format!("--initial-advertise-peer-urls=http://127.0.0.1:{port}");
        parse_with(&[&name, &url, cluster, "--initial-cluster-token=t"], &[]).unwrap()
    };
    let (first, second) = (member("a", 1), member("b", 2));
    assert_eq!(first.cluster, second.cluster);
    assert_eq!(first.initial_members, second.initial_members);
    assert_ne!(first.member, second.member);
    assert!(first.initial_members.iter().any(|peer| peer.id == second.member));
}

#[test]
fn an_error_says_which_variable_the_value_came_from() {
    let error = parse_with(&[], &[("ETCD_HEARTBEAT_INTERVAL", "x")])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("--heartbeat-interval (from ETCD_HEARTBEAT_INTERVAL) is \"x\""),
        "{error}"
    );
}

#[test]
fn harmless_flags_are_accepted_with_a_warning_and_dangerous_ones_when_they_ask_for_nothing() {
    let config = parse_with(
        &[
            "--max-wals=3",
            "--client-cert-auth=false",
            "--cert-file=",
            "--bcrypt-cost=10",
        ],
        &[("ETCD_NONSENSE", "1"), ("STEAD_ENDPOINTS", "a")],
    )
    .unwrap();
    assert_eq!(
        config.warnings,
        [
            "the environment variable ETCD_NONSENSE is ignored: it is no setting of the server",
            "--bcrypt-cost has no effect: passwords are hashed with argon2id",
            "--max-wals has no effect: the log is removed as soon as it is not needed",
        ]
    );
}

#[test]
fn a_data_folder_of_etcd_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("member/wal")).unwrap();
    let error = error_of(&[&format!("--data-dir={}", folder.path().display())]);
    assert!(error.contains("a data folder of etcd"), "{error}");
}

#[test]
fn retention_is_read_in_both_modes() {
    let retention = |mode: &str, retention: &str| {
        let mode = format!("--auto-compaction-mode={mode}");
        let retention = format!("--auto-compaction-retention={retention}");
        parse_with(&[&mode, &retention], &[]).unwrap().auto_compaction
    };
    assert_eq!(
        retention("periodic", "1"),
        AutoCompaction::Periodic(Duration::from_secs(3_600))
    );
    assert_eq!(
        retention("periodic", "30m"),
        AutoCompaction::Periodic(Duration::from_secs(1_800))
    );
    assert_eq!(retention("periodic", "0"), AutoCompaction::Off);
    assert_eq!(retention("revision", "1000"), AutoCompaction::Revisions(1_000));
    assert_eq!(retention("revision", "0"), AutoCompaction::Off);
}

#[test]
fn the_dial_map_is_read_from_the_environment() {
    let config = parse_with(&[], &[("STEAD_PEER_DIAL_MAP", "a:1=b:2, c:3=d:4")]).unwrap();
    let pairs: Vec<(&str, &str)> = config
        .peer_dial_map
        .iter()
        .map(|(from, to)| (from.as_str(), to.as_str()))
        .collect();
    assert_eq!(pairs, [("a:1", "b:2"), ("c:3", "d:4")]);
    let error = parse_with(&[], &[("STEAD_PEER_DIAL_MAP", "a=b")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("STEAD_PEER_DIAL_MAP is \"a=b\""), "{error}");
    assert_eq!(config.warnings, [] as [&str; 0]);
}

#[test]
fn help_and_version_need_no_valid_configuration() {
    let parse = |argument: &str| parse(&[argument.to_owned()], &BTreeMap::new());
    assert_eq!(parse("--help"), Ok(Invocation::Help));
    assert_eq!(parse("-h"), Ok(Invocation::Help));
    assert_eq!(parse("--version"), Ok(Invocation::Version));
    assert!(help("stead server").contains("--initial-cluster"));
}

#[test]
fn names_for_http_are_a_list_and_a_star_means_all() {
    let names = |list: &[&str]| Some(list.iter().map(|name| (*name).to_owned()).collect());
    let config = parse_with(
        &[
            "--cors=http://a:1, https://b",
            "--host-whitelist=a,b",
            "--enable-grpc-gateway=false",
        ],
        &[],
    )
    .unwrap();
    assert_eq!(config.cors_origins, names(&["http://a:1", "https://b"]));
    assert_eq!(config.host_names, names(&["a", "b"]));
    assert!(!config.gateway);
    let config = parse_with(&["--cors=http://a,*", "--host-whitelist="], &[]).unwrap();
    assert_eq!((config.cors_origins, config.host_names), (None, None));
    for (flag, part) in [
        ("--cors=a.example", "is no origin; write http://host"),
        ("--cors=http://a/path", "is no origin"),
        ("--enable-grpc-gateway=perhaps", "write true or false"),
    ] {
        assert!(error_of(&[flag]).contains(part), "{}", error_of(&[flag]));
    }
}

#[test]
fn requests_that_are_larger_than_is_good_are_warned_of() {
    let warnings = |bytes: &str| {
        let flag = format!("--max-request-bytes={bytes}");
        parse_with(&[&flag], &[]).unwrap().warnings.join("\n")
    };
    assert_eq!(warnings("10485760"), "");
    assert!(warnings("10485761").contains("--max-request-bytes is 10485761"));
}

fn checks(arguments: &[&str]) -> CorruptionChecks {
    parse_with(arguments, &[]).unwrap().corruption_checks
}

#[test]
fn members_compare_their_data_as_the_flags_of_etcd_say() {
    let off = CorruptionChecks {
        initial: false,
        interval: None,
        compaction_interval: None,
    };
    let minute = Some(Duration::from_secs(60));
    assert_eq!(checks(&[]), off);
    for argument in [
        "--initial-corrupt-check",
        "--experimental-initial-corrupt-check=true",
        "--feature-gates=InitialCorruptCheck=true",
    ] {
        let initial = true;
        assert_eq!(
            checks(&[argument]),
            CorruptionChecks { initial, ..off },
            "{argument}"
        );
    }
    for flag in ["corrupt-check-time", "experimental-corrupt-check-time"] {
        let argument = format!("--{flag}=1h");
        let interval = Some(Duration::from_secs(3_600));
        assert_eq!(checks(&[&argument]), CorruptionChecks { interval, ..off });
    }
    for argument in [
        "--compact-hash-check-enabled",
        "--experimental-compact-hash-check-enabled=true",
        "--feature-gates=CompactHashCheck=true",
    ] {
        let compaction_interval = minute;
        assert_eq!(
            checks(&[argument]),
            CorruptionChecks {
                compaction_interval,
                ..off
            },
            "{argument}"
        );
        let checks = checks(&[argument, "--compact-hash-check-time=5s"]);
        assert_eq!(checks.compaction_interval, Some(Duration::from_secs(5)));
    }
    assert!(error_of(&["--compact-hash-check-time=0s"]).contains("write a time above 0"));
    assert!(error_of(&["--corrupt-check-time=-1s"]).contains("write a number with a unit"));
}

#[test]
fn feature_gates_are_known_or_an_error_and_say_when_they_make_no_difference() {
    let all = checks(&["--feature-gates=AllAlpha=true, CompactHashCheck=false"]);
    assert_eq!((all.initial, all.compaction_interval), (true, None));
    let config = parse_with(
        &["--feature-gates=InitialCorruptCheck=true,LeaseCheckpoint=true,PriorityRequest=false"],
        &[],
    )
    .unwrap();
    assert_eq!(
        config.warnings,
        [
            "--feature-gates LeaseCheckpoint has no effect: a new leader starts each lease's time afresh",
            "--feature-gates PriorityRequest has no effect: there is no queue in which a request could go first",
        ]
    );
    let unknown = error_of(&["--feature-gates=InitialCorruptCheck=true,Nonsense=true"]);
    for part in [
        "unrecognized feature gate \"Nonsense\"",
        "InitialCorruptCheck, CompactHashCheck, AllAlpha, AllBeta, StopGRPCServiceOnDefrag",
        "FastLeaseKeepAlive, PriorityRequest",
    ] {
        assert!(unknown.contains(part), "{unknown}");
    }
    for (arguments, part) in [
        (&["--feature-gates=InitialCorruptCheck"][..], "has no value"),
        (
            &["--feature-gates=InitialCorruptCheck=yes"],
            "write InitialCorruptCheck=true",
        ),
        (
            &[
                "--feature-gates=InitialCorruptCheck=false",
                "--initial-corrupt-check",
            ],
            "--initial-corrupt-check is true and --feature-gates has InitialCorruptCheck=false",
        ),
    ] {
        assert!(error_of(arguments).contains(part), "{}", error_of(arguments));
    }
}
