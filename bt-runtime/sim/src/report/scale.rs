//! Axes: a range of figures, where its ticks stand and how they are written.

use super::text::{Unit, fixed};

/// What an axis shows.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// What is measured, without its unit.
    pub(super) label: String,
    /// In what it is counted.
    pub(super) unit: Unit,
    /// Where it begins at the latest.
    pub(super) from: Option<f64>,
    /// Where it ends at the soonest.
    pub(super) to: Option<f64>,
}

impl Axis {
    /// An axis that begins at zero.
    pub(super) fn from_zero(label: &str, unit: Unit) -> Self {
        Self { label: label.to_owned(), unit, from: Some(0.0), to: None }
    }

    /// An axis from 0 to 100 %.
    pub(super) fn share(label: &str) -> Self {
        Self { label: label.to_owned(), unit: Unit::Share, from: Some(0.0), to: Some(1.0) }
    }
}

/// An axis fitted to figures.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    /// Where it begins, in the figures' own unit.
    pub(super) low: f64,
    /// Where it ends.
    pub(super) high: f64,
    /// Places and texts of its ticks.
    pub(super) ticks: Vec<(f64, String)>,
    /// Its label, with the unit.
    pub(super) title: String,
}

impl Scale {
    /// Fits `axis` to `values` with about `want` ticks. With `whole` it begins and ends at a tick.
    pub(super) fn fit(axis: &Axis, values: impl Iterator<Item = f64>, want: usize, whole: bool) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.chain(axis.from).chain(axis.to).filter(|value| value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // A block that counts where it ends may bring a little more than all into one sample.
        if axis.unit == Unit::Share && axis.to == Some(1.0) && high < 1.05 {
            high = 1.0;
        }
        if high - low <= high.abs().max(low.abs()) * 1e-9 {
            let room = if high == 0.0 { 1.0 } else { high.abs() / 10.0 };
            (low, high) = (if axis.from.is_some() { low } else { low - room }, high + room);
        }
        let (size, name) = axis.unit.shown(high.abs().max(low.abs()));
        let (low, high) = (low / size, high / size);
        let (step, decimals) = step((high - low) / want.max(1) as f64);
        let (first, last) = ((low / step - 1e-6).ceil(), (high / step + 1e-6).floor());
        let (first, last) =
            if whole { ((low / step + 1e-6).floor(), (high / step - 1e-6).ceil()) } else { (first, last) };
        let count = (last - first).max(0.0) as usize + 1;
        let ticks = (0..count.min(50)).map(|at| {
            let value = (first + at as f64) * step;
            (value * size, fixed(value, decimals))
        });
        let title = if name.is_empty() { axis.label.clone() } else { format!("{} ({name})", axis.label) };
        let (low, high) = if whole { (first * step, last * step) } else { (low, high) };
        Self { low: low * size, high: high * size, ticks: ticks.collect(), title }
    }

    /// Where `value` stands between `from` and `to`.
    pub(super) fn place(&self, value: f64, from: f64, to: f64) -> f64 {
        from + (value - self.low) / (self.high - self.low) * (to - from)
    }
}

/// The smallest step of 1, 2, 2.5 or 5 times a power of ten that is not below `least`, and its decimals.
fn step(least: f64) -> (f64, usize) {
    let mut power = 1.0;
    let mut digits = 0i32;
    while power * 10.0 <= least && digits < 300 {
        power *= 10.0;
        digits += 1;
    }
    while power > least && digits > -300 {
        power /= 10.0;
        digits -= 1;
    }
    let factors = [(1.0, 0), (2.0, 0), (2.5, 1), (5.0, 0), (10.0, -1)];
    let fits = factors.iter().find(|(factor, _)| factor * power >= least * (1.0 - 1e-9));
    let (factor, more) = fits.copied().unwrap_or((10.0, -1));
    (factor * power, (more - digits).max(0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, unit: Unit, whole: bool) -> Vec<String> {
        let axis = Axis { label: String::new(), unit, from: None, to: None };
        Scale::fit(&axis, [low, high].into_iter(), 5, whole).ticks.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_figures_within_the_range() {
        assert_eq!(labels(0.0, 1.0, Unit::Share, true), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(0.0, 2018.0, Unit::Seconds, false), ["0", "500", "1000", "1500", "2000"]);
        assert_eq!(labels(0.0, 0.9, Unit::Plain, true), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-12.0, 7.0, Unit::Plain, false), ["−10", "−5", "0", "5"]);
        assert_eq!(labels(0.0, 72_000.0, Unit::Seconds, false), ["0", "5", "10", "15", "20"]);
    }

    #[test]
    fn any_range_gives_a_scale() {
        for (low, high) in
            [(0.0, 0.0), (5.0, 5.0), (-3.0, -3.0), (1e-300, 2e-300), (-1e300, 1e300), (0.0, 1e-12)]
        {
            let axis = Axis { label: "x".to_owned(), unit: Unit::Plain, from: None, to: None };
            for whole in [false, true] {
                let scale = Scale::fit(&axis, [low, high, f64::NAN].into_iter(), 6, whole);
                assert!(scale.high > scale.low && scale.ticks.len() <= 50, "{low} {high} {scale:?}");
                assert!(scale.place(low, 0.0, 100.0).is_finite());
            }
        }
        let nothing = Scale::fit(&Axis::from_zero("x", Unit::Seconds), std::iter::empty(), 6, false);
        assert!(nothing.high > nothing.low);
    }
}
