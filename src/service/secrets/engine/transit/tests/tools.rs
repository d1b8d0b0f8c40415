//! Random bytes and hashes.

use super::*;
use crate::base::limits::MAXIMUM_TRANSIT_RANDOM_BYTES;

#[test]
fn random_bytes_are_as_many_as_the_path_or_the_body_says() {
    let mut mounted = mounted();
    for (path, body, count) in [
        ("random", json!({}), 32),
        ("random", json!({ "bytes": 5 }), 5),
        ("random/7", json!({ "bytes": 5 }), 7),
        ("random/seal", json!({ "bytes": "6" }), 6),
        ("random/all/9", json!({}), 9),
        (
            "random",
            json!({ "source": "seal", "bytes": MAXIMUM_TRANSIT_RANDOM_BYTES }),
            MAXIMUM_TRANSIT_RANDOM_BYTES,
        ),
    ] {
        let text = mounted.text(path, "random_bytes", body.clone());
        assert_eq!(STANDARD.decode(&text).unwrap().len(), count, "{path} {body}");
        assert_ne!(mounted.text(path, "random_bytes", body), text);
    }
    let digits = mounted.text("random/16", "random_bytes", json!({ "format": "hex" }));
    assert!(digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    for (path, body, refusal) in [
        ("random/0", json!({}), "\"bytes\" cannot be less than 1"),
        (
            "random",
            json!({ "bytes": -1 }),
            "\"bytes\" cannot be less than 1",
        ),
        (
            "random/131073",
            json!({}),
            "\"bytes\" should be less than or equal to 131072",
        ),
        (
            "random",
            json!({ "format": "raw" }),
            "unsupported encoding format \"raw\"; must be \"hex\" or \"base64\"",
        ),
        (
            "random/dice",
            json!({}),
            "unsupported entropy source \"dice\"; must be \"platform\" or \"seal\", or \"all\"",
        ),
    ] {
        assert_eq!(mounted.refusal(path, body), refusal, "{path}");
    }
}

#[test]
fn hashes_are_those_of_fips_180_and_202() {
    let mut mounted = mounted();
    let input = b64("abc");
    for (algorithm, sum) in [
        (
            "sha2-224",
            "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
        ),
        (
            "sha2-256",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            "sha2-384",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            "sha2-512",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423\
             643ce80e2a9ac94fa54ca49f",
        ),
        (
            "sha3-224",
            "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf",
        ),
        (
            "sha3-256",
            "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
        ),
        (
            "sha3-384",
            "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
        ),
        (
            "sha3-512",
            "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4c\
             f408d5a56592f8274eec53f0",
        ),
    ] {
        assert_eq!(
            mounted.text(&format!("hash/{algorithm}"), "sum", json!({ "input": input })),
            sum
        );
        let body = json!({ "input": input, "algorithm": algorithm, "format": "base64" });
        assert_eq!(mounted.text("hash", "sum", body), b64(bytes(sum)));
    }
    for (path, body, refusal) in [
        ("hash/md5", json!({ "input": input }), "unsupported algorithm md5"),
        (
            "hash/sha1",
            json!({ "input": input }),
            "unsupported algorithm sha1",
        ),
        (
            "hash",
            json!({ "input": "?" }),
            "unable to decode input as base64",
        ),
        (
            "hash",
            json!({ "format": "raw" }),
            "unsupported encoding format \"raw\"; must be \"hex\" or \"base64\"",
        ),
    ] {
        assert_eq!(mounted.refusal(path, body), refusal, "{path}");
    }
}
