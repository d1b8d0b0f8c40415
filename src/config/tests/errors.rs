//! What is said of values that cannot be.

use super::*;

#[test]
fn each_error_names_the_flag_the_value_and_the_mend() {
    for (arguments, parts) in [
        (
            &["--nonsense=1"][..],
            &["unknown flag --nonsense=1", "--help"][..],
        ),
        (&["--name"], &["--name needs a value"]),
        (&["start"], &["unexpected argument \"start\""]),
        (
            &["grpc-proxy", "start"],
            &["\"grpc-proxy\" is a proxy", "addresses of all members"],
        ),
        (&["--name="], &["--name is \"\"", "1 to 255"]),
        (&["--name=a/b"], &["--name is \"a/b\"", "without"]),
        (
            &["--heartbeat-interval=x"],
            &["--heartbeat-interval is \"x\"", "from 1 to"],
        ),
        (
            &["--heartbeat-interval=0"],
            &["--heartbeat-interval is \"0\"", "from 1 to"],
        ),
        (
            &["--heartbeat-interval=201"],
            &["--election-timeout is 1000 ms", "at least 5 heartbeats"],
        ),
        (
            &["--election-timeout=50001"],
            &["--election-timeout is \"50001\"", "to 50000"],
        ),
        (
            &["--listen-client-urls=http://127.0.0.1:1"],
            &["--advertise-client-urls must be given", "=http://127.0.0.1:1"],
        ),
        (
            &["--listen-peer-urls=http://name:1"],
            &["--listen-peer-urls is", "write an IP address"],
        ),
        (
            &["--listen-peer-urls=https://127.0.0.1:1"],
            &[
                "\"https://127.0.0.1:1\" is to be listened on with TLS",
                "--peer-cert-file",
            ],
        ),
        (
            &["--initial-cluster=a=http://a:1"],
            &["does not have this member, \"default\"", "add default="],
        ),
        (
            &["--initial-cluster=default=http://a:1"],
            &["it has default at http://a:1", "make them equal"],
        ),
        (
            &["--initial-cluster=http://a:1"],
            &["has no name", "write name=http"],
        ),
        (
            &["--initial-cluster=default=http://a:1,b=http://a:1"],
            &["for \"default\" and for \"b\""],
        ),
        (
            &["--initial-cluster-state=old"],
            &["--initial-cluster-state is \"old\"", "new"],
        ),
        (&["--max-request-bytes=0"], &["--max-request-bytes is \"0\""]),
        (&["--max-txn-ops=-1"], &["--max-txn-ops is \"-1\""]),
        (
            &["--quota-backend-bytes=2GB"],
            &["--quota-backend-bytes is \"2GB\""],
        ),
        (&["--auto-compaction-mode=daily"], &["periodic or revision"]),
        (&["--auto-compaction-retention=x"], &["30m or 1h"]),
        (
            &[
                "--auto-compaction-mode=revision",
                "--auto-compaction-retention=1h",
            ],
            &["how many revisions"],
        ),
        (
            &["--grpc-keepalive-interval=5"],
            &["--grpc-keepalive-interval is \"5\"", "such as 5s"],
        ),
        (&["--watch-progress-notify-interval=1ms"], &["at least 100ms"]),
        (&["--log-level=loud"], &["--log-level is \"loud\""]),
        (&["--log-format=xml"], &["json or console"]),
        (&["--log-outputs=systemd/journal"], &["journald"]),
        (
            &["--auth-token=jwt,pub-key=a"],
            &[
                "--auth-token is \"jwt,pub-key=a\"",
                "sign-method is missing",
                "RS256",
            ],
        ),
        (
            &["--auth-token="],
            &["--auth-token is \"\"", "write simple, or jwt"],
        ),
        (
            &["--auth-token-ttl=0"],
            &["--auth-token-ttl is \"0\"", "from 1 to"],
        ),
        (&["--force-new-cluster"], &["not supported yet"]),
        (
            &["--discovery-srv=example.com"],
            &["not supported yet", "--initial-cluster"],
        ),
    ] {
        let error = error_of(arguments);
        for part in parts {
            assert!(error.contains(part), "{arguments:?}: {error}");
        }
    }
}
