//! The parameters of a request: how they are written, and those that all reads share.

use std::time::Duration;

use crate::service::consul::ConsulError;
pub(super) use crate::service::consul::duration::{duration, nanoseconds, shown};

/// Longest wait for a change (Consul).
const MAXIMUM_WAIT: Duration = Duration::from_secs(600);
/// The wait of a request that names none (Consul).
const DEFAULT_WAIT: Duration = Duration::from_secs(300);

/// The parameters of a query, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads what follows the question mark.
    pub fn parse(query: &str) -> Self {
        Self(
            url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// The first value; none if it is not given, or given empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.first(name).filter(|value| !value.is_empty())
    }

    /// The first value, even an empty one.
    fn first(&self, name: &str) -> Option<&str> {
        let named = self.0.iter().find(|(given, _)| given == name);
        named.map(|(_, value)| value.as_str())
    }

    /// All values, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.0.iter().filter(|(given, _)| given == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether it is there, whatever its value.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// A whole number; none if it is not given.
    ///
    /// # Errors
    /// It is none.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ConsulError> {
        let Some(text) = self.first(name) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| ConsulError::Invalid(format!("Invalid {name}: {text:?} is no whole number")))
    }
}

/// How current a read must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Consistency {
    /// As the leader has it.
    #[default]
    Default,
    /// As a quorum has it.
    Consistent,
    /// As whoever is asked has it.
    Stale,
}

impl Consistency {
    /// What the answer says of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "leader",
            Self::Consistent => "consistent",
            Self::Stale => "stale",
        }
    }
}

/// What all reads share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ReadOptions {
    /// How current it must be.
    pub consistency: Consistency,
    /// For a stale read: how long the leader may have been silent for it to be as good.
    pub maximum_silence: Option<Duration>,
    /// The index after which there must be a change; none: it is answered at once.
    pub index: Option<u64>,
    /// How long a change is waited for.
    pub wait: Duration,
}

impl ReadOptions {
    /// Reads them.
    ///
    /// # Errors
    /// One cannot be, or two of them not together.
    pub fn parse(parameters: &Parameters) -> Result<Self, ConsulError> {
        let invalid = |text: &str| ConsulError::Invalid(text.to_owned());
        let index = match parameters.text("index") {
            None => None,
            Some(text) => match text.parse::<u64>().map_err(|_| invalid("Invalid index"))? {
                0 => None,
                index => Some(index),
            },
        };
        let wait = match parameters.text("wait") {
            None => DEFAULT_WAIT,
            Some(text) => match duration(text).ok_or_else(|| invalid("Invalid wait time"))? {
                Duration::ZERO => DEFAULT_WAIT,
                wait => wait.min(MAXIMUM_WAIT),
            },
        };
        let mut is_stale = parameters.has("stale");
        let mut maximum_silence = None;
        if let Some(text) = parameters.text("max_stale") {
            let silence = duration(text)
                .ok_or_else(|| ConsulError::Invalid(format!("Invalid max_stale value {text:?}")))?;
            if !silence.is_zero() {
                is_stale = true;
                maximum_silence = Some(silence);
            }
        }
        let is_consistent = parameters.has("consistent");
        if is_stale && is_consistent {
            return Err(invalid(
                "Cannot specify ?stale with ?consistent, conflicting semantics.",
            ));
        }
        Ok(Self {
            consistency: match (is_stale, is_consistent) {
                (true, _) => Consistency::Stale,
                (false, true) => Consistency::Consistent,
                (false, false) => Consistency::Default,
            },
            maximum_silence,
            index,
            wait,
        })
    }

    /// Whether this member may answer from what it has.
    pub fn is_stale(&self) -> bool {
        self.consistency == Consistency::Stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(query: &str) -> Result<ReadOptions, String> {
        ReadOptions::parse(&Parameters::parse(query)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_is_on_by_its_presence() {
        let parameters = Parameters::parse("stale=&raw&keys=false&empty=&text=a%20b");
        assert!(parameters.has("stale") && parameters.has("raw") && parameters.has("keys"));
        assert!(!parameters.has("recurse"));
        assert_eq!(
            (parameters.text("empty"), parameters.text("text")),
            (None, Some("a b"))
        );
    }

    #[test]
    fn waits_are_bounded_and_what_cannot_be_is_refused_with_consuls_words() {
        assert_eq!(options("").unwrap().wait, DEFAULT_WAIT);
        assert_eq!(options("wait=0s").unwrap().wait, DEFAULT_WAIT);
        assert_eq!(options("wait=2h").unwrap().wait, MAXIMUM_WAIT);
        assert_eq!(options("wait=120000ms&index=7").unwrap().index, Some(7));
        assert_eq!(options("index=0").unwrap().index, None);
        assert_eq!(options("wait=soon").unwrap_err(), "Invalid wait time");
        assert_eq!(options("wait=-1s").unwrap_err(), "Invalid wait time");
        assert_eq!(options("index=-1").unwrap_err(), "Invalid index");
        let both = options("stale=&consistent=").unwrap_err();
        assert!(both.starts_with("Cannot specify ?stale with ?consistent"));
        assert!(options("max_stale=5s").unwrap().is_stale());
    }
}
