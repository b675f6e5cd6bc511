//! How many peers are served: as the profile says, or from the limit on upload.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// How many peers are served: written as a number, or `"automatic"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxUploads {
    /// So many.
    At(usize),
    /// As many as the limit on upload can serve well, the rule of 3.9.1 and 4.0 (CH-19).
    Automatic,
}

impl MaxUploads {
    /// The number, for a `limit` on upload in bytes per second.
    ///
    /// CH-19: 7 without a limit; 2 below 9 KiB/s, 3 below 15, 4 below 42, then the root of six tenths of it.
    pub(super) fn get(self, limit: Option<u64>) -> usize {
        const KIB: u64 = 1 << 10;
        match (self, limit) {
            (Self::At(number), _) => number,
            (Self::Automatic, None) => 7,
            (Self::Automatic, Some(limit)) if limit < 9 * KIB => 2,
            (Self::Automatic, Some(limit)) if limit < 15 * KIB => 3,
            (Self::Automatic, Some(limit)) if limit < 42 * KIB => 4,
            // ⌊√(0.6 R)⌋ of R KiB/s in whole numbers, for the same answer on every machine.
            (Self::Automatic, Some(limit)) => {
                (u128::from(limit) * 3 / (5 * u128::from(KIB))).isqrt() as usize
            }
        }
    }
}

impl Serialize for MaxUploads {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(number) => number.serialize(serializer),
            Self::Automatic => serializer.serialize_str("automatic"),
        }
    }
}

impl<'de> Deserialize<'de> for MaxUploads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = MaxUploads;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or \"automatic\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<MaxUploads, E> {
                let wrong = || E::invalid_value(de::Unexpected::Str(text), &self);
                if text == "automatic" { Ok(MaxUploads::Automatic) } else { Err(wrong()) }
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<MaxUploads, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Unsigned(number), &self);
                usize::try_from(number).map(MaxUploads::At).map_err(wrong)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<MaxUploads, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Signed(number), &self);
                usize::try_from(number).map(MaxUploads::At).map_err(wrong)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_follows_the_limit_on_upload() {
        let at = |kib: u64| MaxUploads::Automatic.get(Some(kib << 10));
        let found = [0, 8, 9, 14, 15, 41, 42, 60, 61, 1000].map(at);
        assert_eq!(found, [2, 2, 3, 3, 4, 4, 5, 6, 6, 24]);
        assert_eq!(MaxUploads::Automatic.get(Some((9 << 10) - 1)), 2);
        assert_eq!(MaxUploads::Automatic.get(None), 7);
        assert_eq!(MaxUploads::Automatic.get(Some(u64::MAX)), 103_964_605);
        assert_eq!(MaxUploads::At(3).get(Some(1)), 3);
    }
}
