//! What a peer is offered first: as the profile says, or as the form has it.

use bt_api::config::Rate;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::choke::rate_or_word;

/// What a peer is offered first: written as a rate, or `"of-form"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstOffer {
    /// So much.
    At(Rate),
    /// 16 kB/s in the paper's form: the paper draws it from a measured distribution that is not at hand, and this is
    /// what libtorrent's choker of that name began with. 3 KiB/s in the form 1.1, as BitTyrant 1.1.1 had it.
    OfForm,
}

/// How [`FirstOffer::OfForm`] is written.
const WORD: &str = "of-form";

impl Serialize for FirstOffer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rate = match *self {
            Self::At(rate) => Some(rate),
            Self::OfForm => None,
        };
        rate_or_word::write(rate, WORD, serializer)
    }
}

impl<'de> Deserialize<'de> for FirstOffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rate = rate_or_word::read(deserializer, "16 kB/s", WORD)?;
        Ok(rate.map_or(Self::OfForm, Self::At))
    }
}
