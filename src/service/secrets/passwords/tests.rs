use std::collections::BTreeMap;
use std::io;

use proptest::prelude::*;

use super::*;
use crate::base::limits::{
    MAXIMUM_PASSWORD_CHARACTERS, MAXIMUM_PASSWORD_CHARSET, MAXIMUM_PASSWORD_POLICY_BYTES,
    MAXIMUM_PASSWORD_RULES,
};
use crate::service::secrets::randomness::{Randomness, SystemRandomness};

const WRITTEN: &str = r#"
length = 20 # as long as the other system takes
rule "charset" {
  charset = "abcabc"
  min-chars = 2
}
rule "charset" {
  charset = "c0é"
}
"#;

fn refusal(document: &str) -> String {
    PasswordPolicy::parse(document)
        .expect_err("it is refused")
        .to_string()
}

#[test]
fn a_policy_is_the_same_in_hcl_and_in_json() {
    let policy = PasswordPolicy::parse(WRITTEN).expect("a policy");
    assert_eq!(policy.length, 20);
    assert_eq!(policy.characters, ['0', 'a', 'b', 'c', 'é']);
    let rule = |characters: &str, minimum| Charset {
        characters: characters.chars().collect(),
        minimum,
    };
    assert_eq!(policy.rules, [rule("abc", 2), rule("0cé", 0)]);
    for json in [
        r#"{"length": 20, "rule": [{"charset": {"charset": "abcabc", "min-chars": 2}}, {"charset": {"charset": "c0é"}}]}"#,
        r#"{"length": 20, "rule": {"charset": [{"charset": "abcabc", "min-chars": 2}, {"charset": "c0é"}]}}"#,
        r#" {"rule": [{"charset": [{"min-chars": 2, "charset": "cba"}]}, {"charset": {"charset": "c0é"}}], "length": 20}"#,
    ] {
        assert_eq!(PasswordPolicy::parse(json).as_ref(), Ok(&policy), "{json}");
    }
}

#[test]
fn what_is_no_policy_is_refused_with_what_is_wrong() {
    let rule = r#"rule "charset" { charset = "ab" }"#;
    for (document, reason) in [
        (rule.to_owned(), "it has no \"length\""),
        ("length = 8".to_owned(), "it has 0 rules; write from 1 to 64"),
        (
            format!("length = 3\n{rule}"),
            "\"length\" is 3; a password has from 4 to 100 characters",
        ),
        (
            format!("length = 101\n{rule}"),
            "\"length\" is 101; a password has from 4 to 100 characters",
        ),
        (
            format!("length = \"8\"\n{rule}"),
            "\"length\" is no number from 0 on: \"8\"",
        ),
        (
            format!("length = -8\n{rule}"),
            "\"length\" is no number from 0 on: -8",
        ),
        (format!("length = 8\nlength = 9\n{rule}"), "said twice"),
        (
            "length = 8\nrule \"charset\" {\n min-chars = 1\n}".to_owned(),
            "a rule has no characters in \"charset\"",
        ),
        (
            "length = 8\nrule \"charset\" { charset = \"\" }".to_owned(),
            "a rule has no characters in \"charset\"",
        ),
        (
            "length = 8\nrule \"charset\" { charset = 5 }".to_owned(),
            "\"charset\" is no text",
        ),
        (
            "length = 8\nrule \"charset\" { charset = \"a\\tb\" }".to_owned(),
            "a rule has a character that cannot be seen",
        ),
        (
            "length = 8\nrule \"words\" { charset = \"ab\" }".to_owned(),
            "there are no rules of the kind \"words\"; there is \"charset\"",
        ),
        (
            "length = 8\nrule { charset = \"ab\" }".to_owned(),
            "a rule has one kind, in quotes",
        ),
        (
            "length = 8\nrule \"charset\" { chars = \"ab\" }".to_owned(),
            "\"chars\" is unknown",
        ),
        (format!("length = 8\nwidth = 3\n{rule}"), "\"width\" is unknown"),
        (
            format!("length = 8\npath \"a\" {{}}\n{rule}"),
            "\"path\" is unknown",
        ),
        (
            "length = 8\nrule \"charset\" {\n charset = \"ab\"\n min-chars = 9\n}".to_owned(),
            "a rule wants 9 characters, and a password has 8",
        ),
        ("length = ".to_owned(), ""),
        ("{\"length\": 8}".to_owned(), "it has 0 rules"),
        (
            "{\"length\": 8, \"rule\": \"ab\"}".to_owned(),
            "\"rule\" is no object of rules",
        ),
        (
            "{\"length\": 8, \"rule\": {\"charset\": \"ab\"}}".to_owned(),
            "a rule is no object",
        ),
        ("{\"length\": 8, \"path\": {}}".to_owned(), "\"path\" is unknown"),
        ("{\"length\": 8".to_owned(), ""),
    ] {
        let refused = refusal(&document);
        assert!(
            refused.starts_with("invalid password policy: ") && refused.contains(reason),
            "{document}: {refused}"
        );
    }
}

#[test]
fn a_policy_has_a_size_rules_and_characters_up_to_their_limits() {
    let rule = "rule \"charset\" { charset = \"ab\" }\n";
    let of = |rules: usize| format!("length = 8\n{}", rule.repeat(rules));
    assert!(PasswordPolicy::parse(&of(MAXIMUM_PASSWORD_RULES)).is_ok());
    assert!(refusal(&of(MAXIMUM_PASSWORD_RULES + 1)).contains("it has 65 rules"));
    let long = |bytes: usize| {
        let policy = of(1);
        format!("{policy}#{}", "x".repeat(bytes - policy.len() - 1))
    };
    assert!(PasswordPolicy::parse(&long(MAXIMUM_PASSWORD_POLICY_BYTES)).is_ok());
    assert!(refusal(&long(MAXIMUM_PASSWORD_POLICY_BYTES + 1)).contains("bytes; the most is"));
    let characters = |count: u32| {
        let characters = (0..count).filter_map(|number| char::from_u32(0x4e00 + number));
        let characters: String = characters.collect();
        format!("length = 8\nrule \"charset\" {{ charset = \"{characters}\" }}")
    };
    let most = u32::try_from(MAXIMUM_PASSWORD_CHARSET).expect("a small number");
    let widest = PasswordPolicy::parse(&characters(most)).expect("as many as bytes");
    let password = widest.generate(&mut SystemRandomness).expect("drawn");
    assert_eq!(password.expose().chars().count(), 8);
    assert!(refusal(&characters(most + 1)).contains("it has 257 different characters; the most is 256"));
}

/// Gives these bytes, and ones behind them.
struct Given(Vec<u8>);

impl Randomness for Given {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let given = self.0.iter().chain(std::iter::repeat(&1));
        bytes
            .iter_mut()
            .zip(given)
            .for_each(|(byte, given)| *byte = *given);
        Ok(())
    }
}

#[test]
fn each_password_that_meets_the_rules_is_as_likely_as_every_other() {
    let written = "length = 4\nrule \"charset\" {\n charset = \"ab\"\n}\nrule \"charset\" {\n charset = \"b\"\n min-chars = 2\n}";
    let policy = PasswordPolicy::parse(written).expect("a policy");
    // All that eight draws of two characters can be: two passwords, of which the second counts where the first is none.
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for drawn in 0..=u8::MAX {
        let bits = (0..8).map(|bit| drawn >> bit & 1).collect();
        let password = policy.generate(&mut Given(bits)).expect("ones meet the rules");
        *made.entry(password.expose().clone()).or_default() += 1;
    }
    // Six with two, four with three, one with four.
    assert_eq!(made.len(), 11);
    assert!(made.keys().all(|password| password.matches('b').count() >= 2));
    // 16 from the first four draws, and one from each of the 5 that are thrown away; what is left comes from the ones.
    *made.entry("bbbb".to_owned()).or_default() -= 5 * 5;
    assert!(made.values().all(|times| *times == 21), "{made:?}");
}

#[test]
fn a_policy_that_hardly_any_password_meets_is_refused() {
    let of = |length: usize, minimum: usize| {
        let wide: String = ('!'..='~').filter(|letter| !"\"\\$%".contains(*letter)).collect();
        let written = format!(
            "length = {length}\nrule \"charset\" {{ charset = \"{wide}\" }}\n\
             rule \"charset\" {{\n charset = \"0\"\n min-chars = {minimum}\n}}"
        );
        PasswordPolicy::parse(&written).expect("a policy")
    };
    of(20, 1)
        .check(&mut SystemRandomness)
        .expect("one of five has a 0");
    let refused = of(20, 20).check(&mut SystemRandomness).expect_err("only zeros");
    assert!(
        refused
            .to_string()
            .contains("of 50000 passwords that were tried 0 met its rules"),
        "{refused}"
    );
    assert!(of(20, 20).generate(&mut SystemRandomness).is_err());
    let apart = "length = 4\nrule \"charset\" {\n charset = \"a\"\n min-chars = 3\n}\nrule \"charset\" {\n charset = \"b\"\n min-chars = 3\n}";
    let apart = PasswordPolicy::parse(apart).expect("a policy");
    assert!(apart.check(&mut SystemRandomness).is_err());
}

/// A generator that has nothing to give.
struct Dry;

impl Randomness for Dry {
    fn fill(&mut self, _bytes: &mut [u8]) -> io::Result<()> {
        Err(io::Error::other("dry"))
    }
}

#[test]
fn without_randomness_there_is_no_password() {
    let policy = PasswordPolicy::parse(WRITTEN).expect("a policy");
    assert!(policy.generate(&mut Dry).is_err() && policy.check(&mut Dry).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_password_has_its_length_and_of_each_rule_as_many_as_it_wants(
        length in 4..=MAXIMUM_PASSWORD_CHARACTERS,
        rules in prop::collection::vec(("[a-e]{1,9}", 0_usize..3), 1..4),
    ) {
        let mut written = format!("length = {length}\n");
        for (characters, minimum) in &rules {
            written += &format!("rule \"charset\" {{\n charset = \"{characters}\"\n min-chars = {minimum}\n}}\n");
        }
        let policy = PasswordPolicy::parse(&written).expect("a policy");
        // Short ones with many rules may be those that hardly any password meets.
        if let Ok(password) = policy.generate(&mut SystemRandomness) {
            let password = password.expose();
            prop_assert_eq!(password.chars().count(), length);
            for (characters, minimum) in &rules {
                let of_it = password.chars().filter(|letter| characters.contains(*letter)).count();
                prop_assert!(of_it >= *minimum);
            }
            let is_known = |letter: char| rules.iter().any(|(characters, _)| characters.contains(letter));
            prop_assert!(password.chars().all(is_known));
        } else {
            prop_assert!(policy.check(&mut SystemRandomness).is_err());
        }
    }
}
