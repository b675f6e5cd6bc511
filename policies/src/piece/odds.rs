//! Probabilities in profiles, and draws by them.

use bt_api::Rng;
use bt_api::plugin::BuildError;

/// Checks the probability that `key` gives.
///
/// # Errors
/// When it is not from 0 to 1.
pub(super) fn check(key: &'static str, probability: f64) -> Result<(), BuildError> {
    match (0.0..=1.0).contains(&probability) {
        true => Ok(()),
        false => Err(BuildError::new(key, "must be from 0 to 1")),
    }
}

/// A draw from 0 to below 1, of 53 bits: the same on every machine.
pub(super) fn draw(rng: &mut dyn Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Whether what has this probability happens. At 0 it never does, at 1 always.
pub(super) fn happens(probability: f64, rng: &mut dyn Rng) -> bool {
    draw(rng) < probability
}

#[cfg(test)]
mod tests {
    use bt_api::rng;

    use super::*;

    #[test]
    fn it_happens_as_often_as_it_should() {
        let mut rng = rng::stream(1, 0, "odds");
        let mut often = |probability| (0..10_000).filter(|_| happens(probability, &mut rng)).count();
        assert_eq!((often(0.0), often(1.0)), (0, 10_000));
        assert!((7_850..8_150).contains(&often(0.8)));
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        assert!([0.0, 0.5, 1.0].iter().all(|&right| check("p", right).is_ok()));
        assert!([-0.1, 1.1, f64::NAN, f64::INFINITY].iter().all(|&wrong| check("p", wrong).is_err()));
    }
}
