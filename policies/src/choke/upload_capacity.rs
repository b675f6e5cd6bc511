//! How much can be uploaded: as the profile says, or as it turns out.

use bt_api::OwnFacts;
use bt_api::config::Rate;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::rate_or_word;

/// The capacity of the uplink: written as a rate, or `"automatic"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadCapacity {
    /// So much.
    At(Rate),
    /// The limit on upload; without one, what turned out so far.
    Automatic,
}

/// Follows the capacity from round to round.
#[derive(Debug)]
pub(super) struct Capacity {
    rule: UploadCapacity,
    /// The estimate, in bytes per second.
    estimate: u64,
    /// The fastest upload seen.
    fastest: u64,
}

/// What `automatic` begins with and never goes below.
const LEAST: u64 = 64 << 10;

impl Capacity {
    pub(super) fn new(rule: UploadCapacity) -> Self {
        Self { rule, estimate: LEAST, fastest: 0 }
    }

    /// The capacity in bytes per second for the round that begins.
    ///
    /// Without a rate or a limit the estimate doubles in each round that used up nine tenths of it. Where it is not
    /// used up it is an eighth above the fastest upload seen: an uplink that is full is found to be so.
    pub(super) fn round(&mut self, own: &OwnFacts) -> u64 {
        match (self.rule, own.upload_limit) {
            (UploadCapacity::At(rate), limit) => rate.0.min(limit.unwrap_or(u64::MAX)),
            (UploadCapacity::Automatic, Some(limit)) => limit,
            (UploadCapacity::Automatic, None) => {
                self.fastest = self.fastest.max(own.upload_rate);
                if own.upload_rate >= self.estimate - self.estimate / 10 {
                    self.estimate = self.estimate.saturating_mul(2);
                } else {
                    self.estimate =
                        self.estimate.min(self.fastest.saturating_add(self.fastest / 8)).max(LEAST);
                }
                self.estimate
            }
        }
    }
}

/// How [`UploadCapacity::Automatic`] is written.
const WORD: &str = "automatic";

impl Serialize for UploadCapacity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rate = match *self {
            Self::At(rate) => Some(rate),
            Self::Automatic => None,
        };
        rate_or_word::write(rate, WORD, serializer)
    }
}

impl<'de> Deserialize<'de> for UploadCapacity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rate = rate_or_word::read(deserializer, "400 kbit/s", WORD)?;
        Ok(rate.map_or(Self::Automatic, Self::At))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capacity_of_a_full_uplink_is_found() {
        let mut capacity = Capacity::new(UploadCapacity::Automatic);
        let mut own = OwnFacts::default();
        let mut estimate = capacity.round(&own);
        // An uplink of 1 MB/s, of which as much is used as is thought to be there.
        for _ in 0..20 {
            own.upload_rate = estimate.min(1_000_000);
            estimate = capacity.round(&own);
        }
        assert_eq!(estimate, 1_125_000);
        own.upload_rate = 0;
        assert_eq!(capacity.round(&own), 1_125_000, "a pause makes it no slower");
    }

    #[test]
    fn what_is_given_holds() {
        let own = |limit| {
            let mut own = OwnFacts::default();
            (own.upload_limit, own.upload_rate) = (limit, 1 << 30);
            own
        };
        assert_eq!(Capacity::new(UploadCapacity::Automatic).round(&own(Some(5000))), 5000);
        let mut at = Capacity::new(UploadCapacity::At(Rate(9000)));
        assert_eq!((at.round(&own(None)), at.round(&own(Some(5000)))), (9000, 5000));
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        #[derive(Debug, PartialEq, Deserialize, Serialize)]
        struct Table {
            a: UploadCapacity,
            b: UploadCapacity,
        }
        let table = Table { a: UploadCapacity::Automatic, b: UploadCapacity::At(Rate(50_000)) };
        assert_eq!(serde_json::from_str::<Table>(r#"{"a": "automatic", "b": "400 kbit/s"}"#).unwrap(), table);
        let written = serde_json::to_string(&table).unwrap();
        assert_eq!(serde_json::from_str::<Table>(&written).unwrap(), table);
        let error = serde_json::from_str::<UploadCapacity>("\"much\"").unwrap_err().to_string();
        assert!(error.contains("or \"automatic\""), "{error}");
    }
}
