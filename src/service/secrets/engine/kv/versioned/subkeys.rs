//! `subkeys/<path>`: the names in a value, and `null` for what they are for.
//!
//! Never tells what is under a name that has no names below it.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{settings, view};
use crate::service::secrets::engine::{Answer, Call, Fault, Storage};
use crate::service::secrets::parameters;

/// Answers with the names in the newest version, or in the one that is asked for.
///
/// # Errors
/// There is none.
pub fn read(path: &str, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let depth = match call.body.get("depth") {
        None => 0,
        Some(depth) => {
            let depth = parameters::integer(depth).map_err(|error| settings::wrong("depth", &error))?;
            usize::try_from(depth)
                .map_err(|_| settings::wrong("depth", &format_args!("{depth} is negative")))?
        }
    };
    view::answer(path, call, storage, "subkeys", |data, value| {
        data.set_text("subkeys", &names(value.json()?, depth)?)
    })
}

/// The names in an object of JSON, at most `depth` below each other; zero: all.
fn names(json: &str, depth: usize) -> Result<String, Fault> {
    let mut shown = String::new();
    let seed = Names {
        shown: &mut shown,
        left: if depth == 0 { usize::MAX } else { depth },
        is_outermost: true,
    };
    seed.deserialize(&mut serde_json::Deserializer::from_str(json))
        .map_err(|_| Fault::Internal("what is stored is no JSON".to_owned()))?;
    Ok(shown)
}

/// Writes what of a value is shown.
struct Names<'shown> {
    shown: &'shown mut String,
    /// How many names may still be below each other.
    left: usize,
    is_outermost: bool,
}

impl Names<'_> {
    fn leaf(self) {
        self.shown.push_str("null");
    }
}

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.left == 0 {
            deserializer.deserialize_ignored_any(IgnoredAny)?;
            self.leaf();
            return Ok(());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Names<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut separator = '{';
        while let Some(name) = fields.next_key::<String>()? {
            self.shown.push(separator);
            separator = ',';
            self.shown
                .push_str(&serde_json::to_string(&name).map_err(de::Error::custom)?);
            self.shown.push(':');
            fields.next_value_seed(Names {
                shown: self.shown,
                left: self.left - 1,
                is_outermost: false,
            })?;
        }
        match (separator, self.is_outermost) {
            (',', _) => self.shown.push('}'),
            (_, true) => self.shown.push_str("{}"),
            (_, false) => self.leaf(),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.leaf();
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.leaf();
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _truth: bool) -> Result<(), E> {
        self.leaf();
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _number: i64) -> Result<(), E> {
        self.leaf();
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _number: u64) -> Result<(), E> {
        self.leaf();
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _number: f64) -> Result<(), E> {
        self.leaf();
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _text: &str) -> Result<(), E> {
        self.leaf();
        Ok(())
    }
}
