//! Distributions in five figures, and Jain's index.

use serde::{Deserialize, Serialize};

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
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let max = *values.last()?;
        Some(Self {
            n: values.len() as u64,
            mean: values.iter().sum::<f64>() / values.len() as f64,
            median: quantile(&values, 0.5),
            p5: quantile(&values, 0.05),
            p95: quantile(&values, 0.95),
            max,
        })
    }

    /// One figure.
    pub fn single(value: f64) -> Self {
        Self { n: 1, mean: value, median: value, p5: value, p95: value, max: value }
    }
}

/// The value below which the part `p` of the sorted `values` lies, linear between neighbours (Hyndman and Fan's
/// type 7, the default of R and numpy).
///
/// # Panics
/// When there are no values.
pub fn quantile(values: &[f64], p: f64) -> f64 {
    let place = p * (values.len() - 1) as f64;
    let below = place as usize;
    let above = (below + 1).min(values.len() - 1);
    values[below] + (place - below as f64) * (values[above] - values[below])
}

/// Jain's index of fairness: 1 when all are equal, 1/n when one has everything; `None` where nobody has anything.
pub fn jain(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    (squares > 0.0).then(|| sum * sum / (values.len() as f64 * squares))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_figures() {
        let dist = Dist::of((1..=21).rev().map(f64::from).collect()).unwrap();
        assert_eq!(dist, Dist { n: 21, mean: 11.0, median: 11.0, p5: 2.0, p95: 20.0, max: 21.0 });
        assert_eq!(Dist::of(vec![3.0]), Some(Dist::single(3.0)));
        assert_eq!(Dist::of(vec![]), None);
    }

    #[test]
    fn the_index_goes_from_all_to_one() {
        assert_eq!(jain(&[2.0, 2.0, 2.0, 2.0]), Some(1.0));
        assert_eq!(jain(&[0.0, 0.0, 0.0, 5.0]), Some(0.25));
        assert_eq!(jain(&[0.0, 0.0]), None);
        assert_eq!(jain(&[]), None);
    }
}
