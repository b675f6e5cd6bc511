//! Student's t distribution, by the regularised incomplete beta function.
//!
//! The probability that |t| is exceeded with n degrees of freedom is I_x(n/2, 1/2) at x = n/(n + t^2) (Abramowitz and
//! Stegun, 26.5.27). I_x is computed from its continued fraction (26.5.8) by Lentz's method, as in "Numerical
//! Recipes", section 6.4. Logarithms and the like come from `libm`, so that results are the same on every machine.

/// From so many degrees of freedom on it is the normal distribution, to a few in 10^7 of a quantile.
const NORMAL: f64 = 1e7;

/// The probability that a t of `df` > 0 degrees of freedom (they may be infinite) is at least as far from 0 as `t`.
pub fn two_sided_p(t: f64, df: f64) -> f64 {
    let t = t.abs();
    if t == f64::INFINITY {
        return 0.0;
    }
    if df >= NORMAL {
        return libm::erfc(t / std::f64::consts::SQRT_2);
    }
    // 1 / (1 + t^2 / df), written so that no square overflows.
    let ratio = t / df.sqrt();
    let x = if ratio > 1.0 { (1.0 / ratio) / (1.0 / ratio + ratio) } else { 1.0 / (1.0 + ratio * ratio) };
    let rest = if ratio > 1.0 { ratio / (1.0 / ratio + ratio) } else { ratio * ratio * x };
    beta(x, rest, df / 2.0, 0.5)
}

/// The value that a t of `df` > 0 degrees of freedom (they may be infinite) is below with probability `p`, which is in
/// 0..=1; at 0 and 1 it is infinite. For a two-sided interval of 95 % take 0.975.
pub fn quantile(p: f64, df: f64) -> f64 {
    if p == 0.5 {
        return 0.0;
    }
    if p < 0.5 {
        return -quantile(1.0 - p, df);
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    let outside = 2.0 * (1.0 - p);
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided_p(high, df) > outside {
        low = high;
        high *= 2.0;
        if high == f64::INFINITY {
            return high;
        }
    }
    // By halves, until there is no number between the two.
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return high;
        }
        if two_sided_p(middle, df) > outside {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// The regularised incomplete beta function I_x(a, b), with `rest` = 1 - x, which is given to keep its digits.
fn beta(x: f64, rest: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if rest <= 0.0 {
        return 1.0;
    }
    let logarithm =
        libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log(rest);
    let front = libm::exp(logarithm);
    // The fraction converges fast on this side of the mean only.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(rest, b, a) / b
    }
}

/// The continued fraction of the incomplete beta function.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let not_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / not_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    // It takes some sqrt(max(a, b)) steps, so the bound is never met below `NORMAL`.
    for step in 1..100_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut last = 1.0;
        for term in [even, odd] {
            d = 1.0 / not_zero(1.0 + term * d);
            c = not_zero(1.0 + term / c);
            last = c * d;
            value *= last;
        }
        if (last - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_as_in_the_tables() {
        let table = [
            (0.975, 1.0, 12.706_205),
            (0.975, 2.0, 4.302_653),
            (0.975, 3.0, 3.182_446),
            (0.975, 4.0, 2.776_445),
            (0.975, 5.0, 2.570_582),
            (0.975, 9.0, 2.262_157),
            (0.975, 10.0, 2.228_139),
            (0.975, 29.0, 2.045_230),
            (0.975, 30.0, 2.042_272),
            (0.975, 100.0, 1.983_972),
            (0.975, f64::INFINITY, 1.959_964),
            (0.95, 10.0, 1.812_461),
            (0.995, 10.0, 3.169_273),
            (0.025, 10.0, -2.228_139),
        ];
        for (p, df, wanted) in table {
            let found = quantile(p, df);
            assert!((found - wanted).abs() < 1e-6, "{p} {df}: {found}");
        }
        assert_eq!((quantile(0.5, 3.0), quantile(1.0, 3.0)), (0.0, f64::INFINITY));
        assert!((quantile(0.975, 9e6) - 1.959_964).abs() < 1e-6);
    }

    /// The probability within t as a finite sum (Abramowitz and Stegun, 26.7.3 and 26.7.4), for whole degrees.
    fn within(t: f64, df: u32) -> f64 {
        let theta = libm::atan(t / f64::from(df).sqrt());
        let (sin, cos) = (libm::sin(theta), libm::cos(theta));
        let odd = df % 2 == 1;
        let mut term = if odd { cos } else { 1.0 };
        let mut sum = 0.0;
        let mut power = if odd { 1 } else { 0 };
        while power + 2 <= df {
            sum += term;
            power += 2;
            term *= cos * cos * f64::from(power - 1) / f64::from(power);
        }
        if odd { (theta + sin * sum) * 2.0 / std::f64::consts::PI } else { sin * sum }
    }

    #[test]
    fn it_agrees_with_the_finite_sums() {
        for df in 1..=100 {
            for t in [0.001, 0.5, 1.0, 1.96, 4.0, 20.0] {
                let p = two_sided_p(t, f64::from(df));
                assert!((1.0 - p - within(t, df)).abs() < 1e-12, "{t} {df}: {p}");
            }
            let found = within(quantile(0.975, f64::from(df)), df);
            assert!((found - 0.95).abs() < 1e-12, "{df}: {found}");
        }
    }

    #[test]
    fn far_out_it_is_small_and_never_nan() {
        // With one degree it is 2/pi atan(1/t).
        assert!((two_sided_p(1e6, 1.0) / 6.366_197_723_673_7e-7 - 1.0).abs() < 1e-9);
        assert_eq!((two_sided_p(0.0, 5.0), two_sided_p(f64::INFINITY, 5.0)), (1.0, 0.0));
        for t in [1e-320, 1e-9, 1e9, 1e300] {
            for df in [1e-3, 1.0, 2.5, 1e6, 1e9] {
                assert!((0.0..=1.0).contains(&two_sided_p(t, df)), "{t} {df}");
            }
        }
    }
}
