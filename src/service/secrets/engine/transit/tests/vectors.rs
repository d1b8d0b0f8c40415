//! Known answers: of NIST, of RFCs, and of OpenSSL where those have none for keys of these sizes.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::import::unwrap_key;
use super::*;

#[test]
fn ciphers_open_what_the_standards_sealed() {
    let gcm = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5\
               aa0de657ba637b39";
    let gcm_data = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
    let sunscreen: String =
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                              sunscreen would be it."
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
    let chacha_key = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
    for (kind, key, nonce, data, plaintext, sealed) in [
        (
            "aes128-gcm96",
            "feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            gcm_data,
            gcm,
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b39\
             6a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47",
        ),
        (
            "aes256-gcm96",
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            gcm_data,
            gcm,
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e63\
             93ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
        ),
        (
            "chacha20-poly1305",
            chacha_key,
            "070000004041424344454647",
            "50515253c0c1c2c3c4c5c6c7",
            &sunscreen,
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a\
             9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9d\
             e576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
        ),
        (
            "xchacha20-poly1305",
            chacha_key,
            "404142434445464748494a4b4c4d4e4f5051525354555657",
            "50515253c0c1c2c3c4c5c6c7",
            &sunscreen,
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c670\
             8c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9\
             768812f615c68b13b52ec0875924c1c7987947deafd8780acf49",
        ),
    ] {
        let mut mounted = mounted();
        mounted.install("key", kind, json!({}), &bytes(key));
        let sealed = [bytes(nonce), bytes(sealed)].concat();
        let ciphertext = format!("vault:v1:{}", b64(&sealed));
        let data = b64(bytes(data));
        let body = json!({ "ciphertext": ciphertext, "associated_data": data });
        assert_eq!(
            mounted.text("decrypt/key", "plaintext", body),
            b64(bytes(plaintext)),
            "{kind}"
        );
        let kind = KeyType::from_name(kind).unwrap();
        let associated = STANDARD.decode(data).unwrap();
        let again =
            super::super::cipher::seal(kind, &bytes(key), &bytes(nonce), &associated, &bytes(plaintext));
        assert_eq!(again.unwrap(), sealed, "{kind:?}");
    }
}

/// Computed by HKDF, HMAC and the ciphers of OpenSSL.
#[test]
fn convergent_keys_and_nonces_are_derived_as_documented() {
    let secret: Vec<u8> = (0..32).collect();
    for (kind, data, ciphertext) in [
        (
            "aes256-gcm96",
            "",
            "vault:v1:zx6W25/TR4hBdrnXVsHXvU4Q7RHbCFEteGyghJEamyPuz8M14lI4zPSY",
        ),
        (
            "aes256-gcm96",
            "row 4",
            "vault:v1:jrVJa3PihsPu8AXwIQpPvnDknbGE0i1u1eZaomqvVNQLqMn3dSJgVKZD",
        ),
        (
            "aes128-gcm96",
            "",
            "vault:v1:zLCg30yCslk+X914MMfVG288AEQo70yJJBLV+4zcEZAZ6/ejXEYIyhC5",
        ),
        (
            "chacha20-poly1305",
            "",
            "vault:v1:zx6W25/TR4hBdrnXBHbxHsQj1VBJBsEMiYkB5OI+R1+znG6s+tnq9oqH",
        ),
    ] {
        let mut mounted = mounted();
        let length = KeyType::from_name(kind).unwrap().secret_bytes().unwrap();
        mounted.install(
            "key",
            kind,
            json!({ "derived": true, "convergent": true }),
            &secret[..length],
        );
        let body = json!({
            "plaintext": b64("attack at dawn"), "context": b64("user 17"), "associated_data": b64(data),
        });
        assert_eq!(
            mounted.text("encrypt/key", "ciphertext", body),
            ciphertext,
            "{kind} {data}"
        );
        let body =
            json!({ "ciphertext": ciphertext, "context": b64("user 17"), "associated_data": b64(data) });
        assert_eq!(
            unb64(&mounted.text("decrypt/key", "plaintext", body)),
            "attack at dawn",
            "{kind}"
        );
    }
}

/// RFC 5869 A.3 has an empty context, which transit refuses; so this is of the function below it.
#[test]
fn hkdf_gives_what_another_library_gives() {
    let secret: Vec<u8> = (0..32).collect();
    let mut mounted = mounted();
    mounted.install("key", "ed25519", json!({ "derived": true }), &secret);
    let body = json!({ "input": b64("what is signed"), "context": b64("user 17") });
    let signed = mounted.write("sign/key", body);
    assert_eq!(
        signed["signature"],
        "vault:v1:tZbHqGmLFw2PxtXsIPLrZzYLKBAUkzjllLI4MiseUpt2uf/EDBnNbVGgHSBsMQJTQdYtcQtoKuzNbp9h7diIDQ=="
    );
    assert_eq!(
        signed["public_key"],
        "a2smRXqxMfCyQ4QCuKjcXGQjY58V+9uOrdZMORxM76I="
    );
}

#[test]
fn hmac_is_that_of_rfc_4231() {
    let mut mounted = mounted();
    mounted.install("key", "hmac", json!({ "hmac_bytes": 131 }), &[0xaa; 131]);
    let input = b64("Test Using Larger Than Block-Size Key - Hash Key First");
    for (algorithm, hmac) in [
        (
            "sha2-224",
            "95e9a0db962095adaebe9b2d6f0dbce2d499f112f2d2b7273fa6870e",
        ),
        (
            "sha2-256",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            "sha2-384",
            "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
        ),
        (
            "sha2-512",
            "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73\
             f63f0aec8b915a985d786598",
        ),
    ] {
        let made = mounted.text(
            &format!("hmac/key/{algorithm}"),
            "hmac",
            json!({ "input": input }),
        );
        assert_eq!(made, format!("vault:v1:{}", b64(bytes(hmac))), "{algorithm}");
    }
}

#[test]
fn ed25519_signs_as_rfc_8032_does() {
    for (seed, public, input, signature) in [
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eae\
             b4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9\
             716ed28dc027beceea1ec40a",
        ),
    ] {
        let mut mounted = mounted();
        mounted.install("key", "ed25519", json!({}), &bytes(seed));
        let signature = format!("vault:v1:{}", b64(bytes(signature)));
        let input = b64(bytes(input));
        assert_eq!(
            mounted.text("sign/key", "signature", json!({ "input": input })),
            signature
        );
        let body = json!({ "input": input, "signature": signature });
        assert_eq!(mounted.write("verify/key", body)["valid"], true);
        let exported = mounted.read("export/public-key/key/1");
        assert_eq!(exported["keys"]["1"], b64(bytes(public)));
    }
}

const P256: &str = "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721";
const P384: &str =
    "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5";
const P521: &str = "00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75CAA896EB32F1F47C70855836A6D16FCC1466\
                    F6D8FBEC67DB89EC0C08B0E996B83538";

/// RFC 6979, A.2.5 to A.2.7; hashes that are shorter and longer than the numbers of the curve among them.
#[test]
fn ecdsa_verifies_the_signatures_of_rfc_6979() {
    for (kind, secret, hash, signature) in [
        (
            "ecdsa-p256",
            P256,
            "sha2-256",
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716F7CB1C942D657C41D436C7A1B6E29F65F3E900DB\
             B9AFF4064DC4AB2F843ACDA8",
        ),
        (
            "ecdsa-p256",
            P256,
            "sha2-512",
            "8496A60B5E9B47C825488827E0495B0E3FA109EC4568FD3F8D1097678EB97F002362AB1ADBE2B8ADF9CB9EDAB740EA6049C02811\
             4F2460F96554F61FAE3302FE",
        ),
        (
            "ecdsa-p384",
            P384,
            "sha1",
            "EC748D839243D6FBEF4FC5C4859A7DFFD7F3ABDDF72014540C16D73309834FA37B9BA002899F6FDA3A4A9386790D4EB2A3BCFA94\
             7BEEF4732BF247AC17F71676CB31A847B9FF0CBC9C9ED4C1A5B3FACF26F49CA031D4857570CCB5CA4424A443",
        ),
        (
            "ecdsa-p384",
            P384,
            "sha2-384",
            "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE4699EF4AEB\
             15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
        ),
        (
            "ecdsa-p521",
            P521,
            "sha2-256",
            "01511BB4D675114FE266FC4372B87682BAECC01D3CC62CF2303C92B3526012659D16876E25C7C1E57648F23B73564D67F61C6F14\
             D527D54972810421E7D87589E1A7004A171143A83163D6DF460AAF61522695F207A58B95C0644D87E52AA1A347916E4F7A72930B\
             1BC06DBE22CE3F58264AFD23704CBB63B29B931F7DE6C9D949A7ECFC",
        ),
        (
            "ecdsa-p521",
            P521,
            "sha2-512",
            "00C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F174E25A1EE9017B5D450606ADD152B534931D7D4\
             E8455CC91F9B15BF05EC36E377FA00617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF282623EAA63E\
             5B5C0723D8B8C37FF0777B1A20F8CCB1DCCC43997F1EE0E44DA4A67A",
        ),
    ] {
        let mut mounted = mounted();
        mounted.install("key", kind, json!({}), &bytes(secret));
        let signature = format!("vault:v1:{}", URL_SAFE_NO_PAD.encode(bytes(signature)));
        let body = json!({ "input": b64("sample"), "signature": signature, "marshaling_algorithm": "jws" });
        assert_eq!(
            mounted.write(&format!("verify/key/{hash}"), body)["valid"],
            true,
            "{kind} {hash}"
        );
        let body = json!({ "input": b64("Sample"), "signature": signature, "marshaling_algorithm": "jws" });
        assert_eq!(
            mounted.write(&format!("verify/key/{hash}"), body)["valid"],
            false,
            "{kind} {hash}"
        );
    }
}

#[test]
fn rsa_verifies_the_signatures_of_another_library() {
    let mut mounted = mounted();
    mounted.install(
        "key",
        "rsa-2048",
        json!({}),
        &STANDARD.decode(fixtures::RSA_2048).unwrap(),
    );
    for (algorithm, hash, salt, signature) in fixtures::RSA_SIGNATURES {
        let mut verified = |input: &str, salt: &str| {
            let body = json!({
                "input": b64(input), "signature": format!("vault:v1:{signature}"), "salt_length": salt,
                "signature_algorithm": algorithm,
            });
            mounted.write(&format!("verify/key/{hash}"), body)["valid"] == true
        };
        assert!(verified("what is signed", salt), "{algorithm} {hash} {salt}");
        assert!(verified("what is signed", "auto"), "{algorithm} {hash} {salt}");
        assert!(!verified("what is not signed", salt), "{algorithm} {hash} {salt}");
        if algorithm == "pss" {
            assert!(!verified("what is signed", "33"), "{algorithm} {hash} {salt}");
        }
    }
}

#[test]
fn rsa_opens_what_another_library_encrypted() {
    let mut mounted = mounted();
    mounted.install(
        "key",
        "rsa-2048",
        json!({}),
        &STANDARD.decode(fixtures::RSA_2048).unwrap(),
    );
    let ciphertext = format!("vault:v1:{}", fixtures::RSA_CIPHERTEXT);
    assert_eq!(mounted.decrypted("key", &ciphertext), "attack at dawn");
}

/// RFC 5649, section 6.
#[test]
fn wrapped_keys_are_those_of_rfc_5649() {
    let key = bytes("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8");
    for (wrapped, secret) in [
        (
            "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
            "c37b7e6492584340bed12207808941155068f738",
        ),
        ("afbeb0f07dfbf5419200f2ccb50bb24f", "466f7250617369"),
    ] {
        let mut wrapped = bytes(wrapped);
        assert_eq!(*unwrap_key(&key, &wrapped).unwrap(), bytes(secret));
        for place in 0..wrapped.len() {
            wrapped[place] ^= 1;
            assert!(unwrap_key(&key, &wrapped).is_none(), "{place}");
            wrapped[place] ^= 1;
        }
        assert!(unwrap_key(&key[1..], &wrapped).is_none());
        assert!(unwrap_key(&key, &wrapped[1..]).is_none());
        assert!(unwrap_key(&key, &[]).is_none());
    }
}
