//! Distributions in five figures.

use serde::{Deserialize, Serialize};

use crate::stats::{mean, quantile, sorted};

/// A distribution in five figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dist {
    /// How many values it is of; 1 for a figure of the whole run.
    pub n: u64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub median: f64,
    /// A twentieth of the values are below.
    pub p5: f64,
    /// A twentieth of the values are above.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

impl Dist {
    /// Of these values, in any order; `None` where there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let values = sorted(values);
        Some(Self {
            n: values.len() as u64,
            mean: mean(&values)?,
            median: quantile(&values, 0.5)?,
            p5: quantile(&values, 0.05)?,
            p95: quantile(&values, 0.95)?,
            max: *values.last()?,
        })
    }

    /// One figure.
    pub fn single(value: f64) -> Self {
        Self { n: 1, mean: value, median: value, p5: value, p95: value, max: value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::jain;

    #[test]
    fn five_figures() {
        let dist = Dist::of(&(1..=21).rev().map(f64::from).collect::<Vec<_>>()).unwrap();
        assert_eq!(dist, Dist { n: 21, mean: 11.0, median: 11.0, p5: 2.0, p95: 20.0, max: 21.0 });
        assert_eq!(Dist::of(&[3.0]), Some(Dist::single(3.0)));
        assert_eq!(Dist::of(&[]), None);
    }

    #[test]
    fn the_index_goes_from_all_to_one() {
        assert_eq!(jain(&[2.0, 2.0, 2.0, 2.0]), Some(1.0));
        assert_eq!(jain(&[0.0, 0.0, 0.0, 5.0]), Some(0.25));
        assert_eq!(jain(&[0.0, 0.0]), None);
        assert_eq!(jain(&[]), None);
    }
}
