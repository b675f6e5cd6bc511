//! Text from strangers, made fit for a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with characters that command a terminal or turn the direction of writing around as `\u{1b}`: names
/// and messages then fill one line and cannot draw, recolour or hide anything.
///
/// ```
/// use bt_runtime::escape::escape;
/// assert_eq!(escape("a\x1b[2J\nb"), "a\\u{1b}[2J\\u{a}b");
/// assert_eq!(escape("déjà vu"), "déjà vu");
/// ```
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_command) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_command(c) {
            let _ = write!(escaped, "{}", c.escape_unicode());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Control characters, line separators, and the marks of bidirectional text.
fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_and_not_obeyed() {
        assert_eq!(escape("a\tb\r\0\u{7f}\u{9b}31m"), "a\\u{9}b\\u{d}\\u{0}\\u{7f}\\u{9b}31m");
        assert_eq!(escape("fdp\u{202e}exe"), "fdp\\u{202e}exe");
        assert!(matches!(escape("日本 \\ ü"), Cow::Borrowed("日本 \\ ü")));
    }
}
