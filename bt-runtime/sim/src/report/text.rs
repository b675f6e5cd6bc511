//! Text and numbers as the page shows them.

use bt_runtime::escape::escape as visible;

/// `text` on one line as HTML or SVG shows it: markup is inert, control characters are spelt out.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// As [`escape`], with its line breaks kept.
pub(super) fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

/// `value` with four significant digits, thousands apart, and a true minus sign.
pub(super) fn number(value: f64) -> String {
    digits(value, 4)
}

/// `value` with three significant digits.
pub(super) fn short(value: f64) -> String {
    digits(value, 3)
}

/// `value` with so many significant digits; whole numbers keep all of theirs.
fn digits(value: f64, most: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    if size != 0.0 && size < 1e-5 {
        return format!("{value:.2e}").replace('-', "−");
    }
    let mut decimals = most - 1;
    let mut below = 10.0;
    while decimals > 0 && size >= below {
        decimals -= 1;
        below *= 10.0;
    }
    let mut lead = 1.0;
    while size != 0.0 && size < lead && decimals < 8 {
        decimals += 1;
        lead /= 10.0;
    }
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    group(text)
}

/// `value` with so many decimals, thousands apart, and a true minus sign.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    group(&format!("{value:.decimals$}"))
}

/// Sets the thousands of a decimal number apart with narrow spaces.
fn group(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("−", digits));
    if digits.bytes().all(|b| matches!(b, b'0' | b'.')) {
        return digits.to_owned(); // no minus zero
    }
    let (whole, rest) = digits.find('.').map_or((digits, ""), |at| digits.split_at(at));
    let mut grouped = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && whole.len() > 4 {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// How a quantity is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds; long times are shown in hours or days.
    Seconds,
    /// A part of one, shown in per cent.
    Share,
    /// Bytes, shown in binary units.
    Bytes,
    /// Bytes per second, shown in binary units.
    Rate,
    /// A bare number.
    Plain,
}

impl Unit {
    /// What one shown unit is and how it is written, for figures up to `largest`.
    pub(super) fn shown(self, largest: f64) -> (f64, &'static str) {
        let steps: &[(f64, &str)] = match self {
            Self::Seconds => &[(1.0, "s"), (3600.0, "h"), (86_400.0, "d")],
            Self::Bytes => &[(1.0, "B"), (1024.0, "KiB"), (1_048_576.0, "MiB"), (1_073_741_824.0, "GiB")],
            Self::Rate => &[(1.0, "B/s"), (1024.0, "KiB/s"), (1_048_576.0, "MiB/s")],
            Self::Share => return (0.01, "%"),
            Self::Plain => return (1.0, ""),
        };
        let enough = |size: f64| match self {
            Self::Seconds if size == 3600.0 => largest >= 20_000.0,
            Self::Seconds => largest >= 20.0 * size,
            _ => largest >= size,
        };
        let fits = steps.iter().rev().find(|(size, _)| enough(*size));
        *fits.unwrap_or(&steps[0])
    }

    /// `value` with three digits, and its unit.
    pub(super) fn write(self, value: f64) -> String {
        let (size, name) = self.shown(value.abs());
        let text = digits(value / size, 3);
        match name {
            "" => text,
            name => format!("{text}\u{a0}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_control_characters_are_inert() {
        assert_eq!(
            escape("<script>'a' & \"b\"\u{202e}\n"),
            "&lt;script&gt;&#39;a&#39; &amp; &quot;b&quot;\\u{202e}\\u{a}"
        );
        assert_eq!(escape_lines("a = 1\n<b>"), "a = 1\n&lt;b&gt;");
    }

    #[test]
    fn numbers_have_four_digits_that_count() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (0.25, "0.25"),
            (0.012_345, "0.01235"),
            (-2.345_67, "−2.346"),
            (98.764, "98.76"),
            (1_234.5, "1234"),
            (1_234_567.0, "1\u{202f}234\u{202f}567"),
            (1e-9, "1.00e−9"),
            (f64::NAN, "–"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text, "{value:e}");
        }
        assert_eq!(fixed(-0.04, 1), "0.0");
    }

    #[test]
    fn units_suit_the_size() {
        assert_eq!(Unit::Seconds.write(1781.25), "1781\u{a0}s");
        assert_eq!(Unit::Plain.write(0.83512), "0.835");
        assert_eq!(Unit::Seconds.write(36_000.0), "10\u{a0}h");
        assert_eq!(Unit::Bytes.write(3.0 * 1_048_576.0), "3\u{a0}MiB");
        assert_eq!(Unit::Share.write(0.987), "98.7\u{a0}%");
    }
}
