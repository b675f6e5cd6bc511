//! What a peer is offered first: as the profile says, or as the form has it.

use std::fmt;

use bt_api::config::{self, Rate};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// What a peer is offered first: written as a rate, or `"of-form"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstOffer {
    /// So much.
    At(Rate),
    /// 16 kB/s in the paper's form: the paper draws it from a measured distribution that is not at hand, and this is
    /// what libtorrent's choker of that name began with. 3 KiB/s in the form 1.1, as BitTyrant 1.1.1 had it.
    OfForm,
}

impl Serialize for FirstOffer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(rate) => rate.serialize(serializer),
            Self::OfForm => serializer.serialize_str("of-form"),
        }
    }
}

impl<'de> Deserialize<'de> for FirstOffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = FirstOffer;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate such as \"16 kB/s\", or \"of-form\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<FirstOffer, E> {
                if text == "of-form" {
                    return Ok(FirstOffer::OfForm);
                }
                let wrong = |error: config::UnitError| E::custom(format!("{error}; or \"of-form\""));
                text.parse().map(FirstOffer::At).map_err(wrong)
            }
        }
        deserializer.deserialize_str(Text)
    }
}
