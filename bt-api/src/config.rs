//! Values with units, as profiles and command lines write them: `"30 s"`, `"16 KiB"`, `"400 kbit/s"`,
//! `"unlimited"`.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A length of time: a number and one of `ns`, `us`, `ms`, `s`, `min`, `h`, `d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

/// An amount of data in bytes: a number and one of `B`, `kB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`, `TB`, `TiB`.
/// `k`, `M`, `G`, `T` are powers of 1000, `Ki`, `Mi`, `Gi`, `Ti` powers of 1024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A rate in bytes per second: a number and a unit of [`Size`], or one of `bit`, `kbit`, `Mbit`, `Gbit`
/// (decimal), followed by `/s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

/// A value, or none: written `"unlimited"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit<T> {
    /// No limit.
    #[default]
    Unlimited,
    /// This much and no more.
    At(T),
}

impl<T: Copy> Limit<T> {
    /// The limit, if there is one.
    pub fn get(self) -> Option<T> {
        match self {
            Self::Unlimited => None,
            Self::At(value) => Some(value),
        }
    }

    /// The limit changed by `change`, if there is one.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Limit<U> {
        match self {
            Self::Unlimited => Limit::Unlimited,
            Self::At(value) => Limit::At(change(value)),
        }
    }
}

impl Duration {
    /// So many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    /// So many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// The time as the standard library has it.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl Size {
    /// So many KiB.
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// So many MiB.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }
}

/// A table of units, each with its worth in the smallest one, largest first.
struct Units {
    what: &'static str,
    example: &'static str,
    units: &'static [(&'static str, u64)],
}

const DURATION: Units = Units {
    what: "a duration",
    example: "30 s",
    units: &[
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("min", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ],
};

const SIZE: Units = Units {
    what: "a size",
    example: "16 KiB",
    units: &[
        ("TiB", 1 << 40),
        ("TB", 1_000_000_000_000),
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("kB", 1_000),
        ("B", 1),
    ],
};

/// In bits per second, so that every unit is whole.
const RATE: Units = Units {
    what: "a rate",
    example: "400 kbit/s",
    units: &[
        ("GiB/s", 8 << 30),
        ("GB/s", 8_000_000_000),
        ("Gbit/s", 1_000_000_000),
        ("MiB/s", 8 << 20),
        ("MB/s", 8_000_000),
        ("Mbit/s", 1_000_000),
        ("KiB/s", 8 << 10),
        ("kB/s", 8_000),
        ("kbit/s", 1_000),
        ("B/s", 8),
        ("bit/s", 1),
    ],
};

/// Why text is no value with a unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {what} such as \"{example}\" (units {units}), found \"{found}\"")]
pub struct UnitError {
    what: &'static str,
    example: &'static str,
    units: String,
    found: String,
}

impl Units {
    fn error(&self, found: &str) -> UnitError {
        let units: Vec<&str> = self.units.iter().rev().map(|&(unit, _)| unit).collect();
        UnitError { what: self.what, example: self.example, units: units.join(", "), found: found.to_owned() }
    }

    /// `text` in the smallest unit: a decimal number, blanks if any, a unit.
    fn parse(&self, text: &str) -> Result<u64, UnitError> {
        let fail = || self.error(text);
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = (&trimmed[..end], trimmed[end..].trim_start());
        let &(_, worth) = self.units.iter().find(|(name, _)| *name == unit).ok_or_else(fail)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 {
            return Err(fail());
        }
        let whole: u128 = whole.parse().map_err(|_| fail())?;
        let scale = 10_u128.pow(fraction.len() as u32);
        let fraction: u128 = fraction.parse().map_err(|_| fail())?;
        let whole = whole.checked_mul(u128::from(worth)).ok_or_else(fail)?;
        let sum = whole.checked_add(fraction * u128::from(worth) / scale).ok_or_else(fail)?;
        u64::try_from(sum).map_err(|_| fail())
    }

    /// `amount` of the smallest unit, in the largest unit that it is a whole number of.
    fn show(&self, amount: u64) -> String {
        let fits = |&&(_, worth): &&(&str, u64)| amount != 0 && amount.is_multiple_of(worth);
        let zero_unit = self.units.iter().rev().find(|(_, worth)| *worth == self.zero_worth());
        let unit = self.units.iter().find(fits).or(zero_unit).unwrap_or(&self.units[0]);
        format!("{} {}", amount / unit.1, unit.0)
    }

    /// The worth of the unit in which a zero is shown: seconds, bytes, bytes per second.
    fn zero_worth(&self) -> u64 {
        match self.what {
            "a duration" => 1_000_000_000,
            "a rate" => 8,
            _ => 1,
        }
    }
}

macro_rules! unit_type {
    ($name:ident, $units:expr, $to:expr, $from:expr) => {
        impl FromStr for $name {
            type Err = UnitError;
            fn from_str(text: &str) -> Result<Self, UnitError> {
                $units.parse(text).map($to)
            }
        }

        /// In the largest unit that it is a whole number of; reading it back gives the same value.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&$units.show($from(*self)))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} such as \"{}\"", $units.what, $units.example)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

unit_type!(
    Duration,
    DURATION,
    |nanos| Duration(std::time::Duration::from_nanos(nanos)),
    |value: Duration| { u64::try_from(value.0.as_nanos()).unwrap_or(u64::MAX) }
);
unit_type!(Size, SIZE, Size, |value: Size| value.0);
unit_type!(Rate, RATE, |bits: u64| Rate(bits / 8), |value: Rate| value.0.saturating_mul(8));

impl<T: fmt::Display> fmt::Display for Limit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::At(value) => value.fmt(f),
        }
    }
}

impl<T: Serialize> Serialize for Limit<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unlimited => serializer.serialize_str("unlimited"),
            Self::At(value) => value.serialize(serializer),
        }
    }
}

/// A type that a [`Limit`] can be of: read from text with a unit, or from a bare whole number.
pub trait Limitable: Sized {
    /// What is expected, for messages.
    const EXPECTED: &'static str;
    /// Reads text other than `unlimited`.
    ///
    /// # Errors
    /// A message that says what is allowed.
    fn from_text(text: &str) -> Result<Self, String>;
    /// Reads a bare number, where the type has no unit.
    fn from_number(number: u64) -> Option<Self>;
}

macro_rules! limitable_unit {
    ($name:ident, $units:expr, $expected:literal) => {
        impl Limitable for $name {
            const EXPECTED: &'static str = $expected;
            fn from_text(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error: UnitError| format!("{error}; or \"unlimited\""))
            }
            fn from_number(_: u64) -> Option<Self> {
                None
            }
        }
    };
}
limitable_unit!(Duration, DURATION, "a duration such as \"30 s\", or \"unlimited\"");
limitable_unit!(Size, SIZE, "a size such as \"16 KiB\", or \"unlimited\"");
limitable_unit!(Rate, RATE, "a rate such as \"400 kbit/s\", or \"unlimited\"");

macro_rules! limitable_number {
    ($($name:ty),*) => { $(
        impl Limitable for $name {
            const EXPECTED: &'static str = "a whole number, or \"unlimited\"";
            fn from_text(text: &str) -> Result<Self, String> {
                Err(format!("expected {}, found \"{text}\"", Self::EXPECTED))
            }
            fn from_number(number: u64) -> Option<Self> {
                Self::try_from(number).ok()
            }
        }
    )* };
}
limitable_number!(u32, u64, usize);

impl<'de, T: Limitable> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(std::marker::PhantomData<T>);
        impl<T: Limitable> Visitor<'_> for Any<T> {
            type Value = Limit<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Limit<T>, E> {
                if text == "unlimited" {
                    return Ok(Limit::Unlimited);
                }
                T::from_text(text).map(Limit::At).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Limit<T>, E> {
                let unexpected = || E::invalid_value(de::Unexpected::Unsigned(number), &self);
                T::from_number(number).map(Limit::At).ok_or_else(unexpected)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Limit<T>, E> {
                let positive = u64::try_from(number).ok().and_then(T::from_number);
                positive.map(Limit::At).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
            }
        }
        deserializer.deserialize_any(Any(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_with_their_units() {
        assert_eq!("30 s".parse(), Ok(Duration::secs(30)));
        assert_eq!("1.5min".parse(), Ok(Duration::secs(90)));
        assert_eq!("16 KiB".parse(), Ok(Size(16384)));
        assert_eq!("1 kB".parse(), Ok(Size(1000)));
        assert_eq!("400 kbit/s".parse(), Ok(Rate(50_000)));
        assert_eq!("1 MiB/s".parse(), Ok(Rate(1 << 20)));
    }

    #[test]
    fn a_wrong_value_says_what_is_allowed() {
        let error = "30".parse::<Duration>().unwrap_err().to_string();
        assert_eq!(
            error,
            "expected a duration such as \"30 s\" (units ns, us, ms, s, min, h, d), found \"30\""
        );
        for wrong in ["", "s", ".5 s", "5. s", "-5 s", "1 S", "1 s s", "99999999999999999999 d", "1e3 s"] {
            assert!(wrong.parse::<Duration>().is_err(), "{wrong:?}");
        }
        // Just below what the sum of whole and fraction may be.
        assert!(format!("{}.9 kB", u128::MAX / 1000).parse::<Size>().is_err());
    }

    #[test]
    fn limits_are_values_or_unlimited() {
        #[derive(Deserialize, Serialize, PartialEq, Debug)]
        struct Table {
            rate: Limit<Rate>,
            peers: Limit<u32>,
        }
        let table: Table = toml::from_str("rate = 'unlimited'\npeers = 7").unwrap();
        assert_eq!(table, Table { rate: Limit::Unlimited, peers: Limit::At(7) });
        assert_eq!(toml::from_str::<Table>(&toml::to_string(&table).unwrap()).unwrap(), table);
        assert!(toml::from_str::<Table>("rate = 5\npeers = 7").is_err());
        assert!(toml::from_str::<Table>("rate = 'unlimited'\npeers = -1").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(nanos in any::<u64>(), size in any::<u64>(), rate in 0..u64::MAX / 8) {
            let duration = Duration(std::time::Duration::from_nanos(nanos));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            prop_assert_eq!(Size(size).to_string().parse(), Ok(Size(size)));
            prop_assert_eq!(Rate(rate).to_string().parse(), Ok(Rate(rate)));
        }
    }
}
