//! What is filled into a template: `${name.full}` and its like.

use regex::{Regex, RegexBuilder};

use super::{PreparedQuery, Template};
use crate::base::limits::MAXIMUM_FILTER_PATTERN_BYTES;
use crate::service::consul::ConsulError;

/// What the variables of a template stand for.
pub(super) struct Words {
    full: String,
    prefix: String,
    suffix: String,
    matches: Vec<String>,
}

impl Words {
    /// Those of a name; `pattern` is that of the template, if it has one.
    pub fn of(query: &PreparedQuery, pattern: Option<&Regex>, name: &str) -> Self {
        let groups = pattern.and_then(|pattern| pattern.captures(name));
        let matches = groups.iter().flat_map(|groups| groups.iter());
        let matches = matches.map(|group| group.map_or("", |group| group.as_str()).to_owned());
        Self {
            full: name.to_owned(),
            prefix: query.name.clone(),
            suffix: name.get(query.name.len()..).unwrap_or_default().to_owned(),
            matches: matches.collect(),
        }
    }

    pub fn fill(&self, text: &str) -> Result<String, ConsulError> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            let (word, after) = after
                .split_once('}')
                .ok_or_else(|| ConsulError::Invalid(format!("{text:?}: a variable does not end")))?;
            let word = word.trim();
            let number = word
                .strip_prefix("match(")
                .and_then(|word| word.strip_suffix(')'));
            match (word, number.map(|number| number.trim().parse::<usize>())) {
                ("name.full", _) => filled.push_str(&self.full),
                ("name.prefix", _) => filled.push_str(&self.prefix),
                ("name.suffix", _) => filled.push_str(&self.suffix),
                ("agent.segment", _) => {}
                (_, Some(Ok(number))) => {
                    filled.push_str(self.matches.get(number).map(String::as_str).unwrap_or_default());
                }
                _ => {
                    return Err(ConsulError::Invalid(format!(
                        "{text:?}: there is no variable {word:?}"
                    )));
                }
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// What names are matched with, if the template says so.
pub(super) fn pattern(template: &Template) -> Result<Option<Regex>, ConsulError> {
    let text = &template.pattern;
    if text.is_empty() {
        return Ok(None);
    }
    let built = RegexBuilder::new(text)
        .size_limit(MAXIMUM_FILTER_PATTERN_BYTES)
        .dfa_size_limit(MAXIMUM_FILTER_PATTERN_BYTES)
        .build();
    built
        .map(Some)
        .map_err(|error| ConsulError::Invalid(format!("Bad Regexp {text:?}: {error}")))
}
