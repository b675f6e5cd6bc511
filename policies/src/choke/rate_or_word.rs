//! A rate in a profile, in place of which a word may stand: `None` is the word.

use std::fmt;

use bt_api::config::{Rate, UnitError};
use serde::de::{self, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// Reads it; `example` is a right rate, for messages.
pub(super) fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
    example: &'static str,
    word: &'static str,
) -> Result<Option<Rate>, D::Error> {
    struct Text {
        example: &'static str,
        word: &'static str,
    }
    impl Visitor<'_> for Text {
        type Value = Option<Rate>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a rate such as \"{}\", or \"{}\"", self.example, self.word)
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<Rate>, E> {
            if text == self.word {
                return Ok(None);
            }
            let wrong = |error: UnitError| E::custom(format!("{error}; or \"{}\"", self.word));
            text.parse().map(Some).map_err(wrong)
        }
    }
    deserializer.deserialize_str(Text { example, word })
}

/// Writes it as [`read`] reads it.
pub(super) fn write<S: Serializer>(rate: Option<Rate>, word: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match rate {
        Some(rate) => rate.serialize(serializer),
        None => serializer.serialize_str(word),
    }
}
