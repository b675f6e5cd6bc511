//! Bencode (BEP 3) read in place: a scan that checks everything, then views that point into the bytes.
//!
//! [`scan`] walks the input once, with neither recursion nor allocation by declared lengths; what it accepts
//! is a [`Value`], whose parts are slices of the input. So each value keeps its raw bytes, which the info-hash
//! needs and serde does not keep. Bytes are written with `serde_bencode`, which sorts keys as BE-8 asks.

/// How deep lists and dictionaries may nest (BE-6). libtorrent has the same limit; torrents need 5, or 3
/// and the depth of their folders.
pub const MAX_DEPTH: usize = 100;

/// The most tokens that are read (numbers, strings, starts and ends of lists and dictionaries), as libtorrent
/// has it: it bounds what is built from them to some hundred megabytes.
pub const MAX_TOKENS: usize = 3_000_000;

/// How exact the input must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// BE-1 to BE-6: ascending keys, each once; integers and lengths in shortest form; nothing after the root.
    Strict,
    /// Keys in any order and more than once, leading zeros, and bytes after the root pass.
    Lenient,
}

/// Why bytes were not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct ScanError {
    /// What is wrong.
    pub kind: ScanErrorKind,
    /// The offset of the token it was found at.
    pub at: usize,
}

/// What is wrong with bytes that were not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanErrorKind {
    /// The input ends within a value.
    #[error("the input ends too soon")]
    Truncated,
    /// No token begins with this byte.
    #[error("no value begins with byte {0:#04x}")]
    BadByte(u8),
    /// An integer is not `i`, digits with at most a minus before them, `e`.
    #[error("bad integer")]
    BadInteger,
    /// The length of a string is no number, or more than the memory of any machine.
    #[error("bad string length")]
    BadLength,
    /// A list or dictionary ends that has not begun.
    #[error("an end without a beginning")]
    StrayEnd,
    /// A key of a dictionary is not a string.
    #[error("a key that is no string")]
    BadKey,
    /// A dictionary ends after a key.
    #[error("a key without a value")]
    MissingValue,
    /// Lists and dictionaries nest deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// There are more than [`MAX_TOKENS`] tokens.
    #[error("more than {MAX_TOKENS} values")]
    TooManyTokens,
    /// Strict: a number is not in its shortest form (BE-2, BE-3).
    #[error("a number with a needless zero or minus")]
    NotShortest,
    /// Strict: keys do not ascend (BE-4).
    #[error("a key that is not above the one before it")]
    KeyOrder,
    /// Strict: bytes follow the root (BE-1).
    #[error("bytes after the end")]
    TrailingBytes,
}

/// Checks that `bytes` begin with one bencoded value; the value spans all of them in [`Mode::Strict`].
///
/// # Errors
/// The first thing that is wrong, and where.
pub fn scan(bytes: &[u8], mode: Mode) -> Result<Value<'_>, ScanError> {
    let mut lexer = Lexer { bytes, at: 0 };
    let mut open: Vec<Open<'_>> = Vec::new();
    for _ in 0..MAX_TOKENS {
        let at = lexer.at;
        let fail = |kind| Err(ScanError { kind, at });
        let token = lexer.next()?;
        if mode == Mode::Strict && !is_shortest(&bytes[at..lexer.at]) {
            return fail(ScanErrorKind::NotShortest);
        }
        match (open.last_mut(), token) {
            (None, Token::End) => return fail(ScanErrorKind::StrayEnd),
            (Some(Open::Value { .. }), Token::End) => return fail(ScanErrorKind::MissingValue),
            (Some(Open::List | Open::Key { .. }), Token::End) => drop(open.pop()),
            (Some(top @ Open::Key { .. }), Token::Text(key)) => {
                if mode == Mode::Strict && matches!(top, Open::Key { last: Some(last) } if *last >= key) {
                    return fail(ScanErrorKind::KeyOrder);
                }
                *top = Open::Value { key };
            }
            (Some(Open::Key { .. }), _) => return fail(ScanErrorKind::BadKey),
            (top, token) => {
                if let Some(top) = top
                    && let Open::Value { key } = *top
                {
                    *top = Open::Key { last: Some(key) };
                }
                match token {
                    Token::List | Token::Dict if open.len() == MAX_DEPTH => {
                        return fail(ScanErrorKind::TooDeep);
                    }
                    Token::List => open.push(Open::List),
                    Token::Dict => open.push(Open::Key { last: None }),
                    _ => {}
                }
            }
        }
        if open.is_empty() {
            let (root, rest) = bytes.split_at(lexer.at);
            if mode == Mode::Strict && !rest.is_empty() {
                return Err(ScanError { kind: ScanErrorKind::TrailingBytes, at: lexer.at });
            }
            return Ok(Value(root));
        }
    }
    Err(ScanError { kind: ScanErrorKind::TooManyTokens, at: lexer.at })
}

/// A list or dictionary whose end was not seen yet.
enum Open<'a> {
    List,
    /// A dictionary, where a key or the end comes next.
    Key {
        last: Option<&'a [u8]>,
    },
    /// A dictionary, where the value of `key` comes next.
    Value {
        key: &'a [u8],
    },
}

/// Whether the number in a token is in its shortest form.
fn is_shortest(token: &[u8]) -> bool {
    match token {
        [b'i', b'0', b'e'] => true,
        [b'i', b'0', ..] | [b'i', b'-', b'0', ..] => false,
        [b'0', b'0'..=b'9', ..] => false,
        _ => true,
    }
}

/// A value within bytes that [`scan`] accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    /// The value as it stands in the input.
    pub fn raw(self) -> &'a [u8] {
        self.0
    }

    /// The bytes of a string; `None` for anything else.
    pub fn text(self) -> Option<&'a [u8]> {
        match Lexer::over(self).next() {
            Ok(Token::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The digits of an integer, with a minus if it has one; `None` for anything else. They may stand for a
    /// number of any size.
    pub fn integer(self) -> Option<&'a str> {
        match Lexer::over(self).next() {
            Ok(Token::Integer(digits)) => str::from_utf8(digits).ok(),
            _ => None,
        }
    }

    /// The values of a list; `None` for anything else.
    pub fn items(self) -> Option<Items<'a>> {
        (self.0[0] == b'l').then_some(Items(Lexer { bytes: self.0, at: 1 }))
    }

    /// The keys and values of a dictionary in their order; `None` for anything else.
    pub fn entries(self) -> Option<Entries<'a>> {
        (self.0[0] == b'd').then_some(Entries(Lexer { bytes: self.0, at: 1 }))
    }

    /// The values of `keys` in a dictionary, found in one pass; of a key that is there twice the first, as
    /// libtorrent takes it. `None` if this is no dictionary.
    pub fn get<const N: usize>(self, keys: [&str; N]) -> Option<[Option<Value<'a>>; N]> {
        let mut values = [None; N];
        for (key, value) in self.entries()? {
            if let Some(i) = keys.iter().position(|name| name.as_bytes() == key) {
                values[i].get_or_insert(value);
            }
        }
        Some(values)
    }
}

/// The values of a list, from [`Value::items`].
#[derive(Clone, Debug)]
pub struct Items<'a>(Lexer<'a>);

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;
    fn next(&mut self) -> Option<Value<'a>> {
        self.0.value()
    }
}

/// The keys and values of a dictionary, from [`Value::entries`].
#[derive(Clone, Debug)]
pub struct Entries<'a>(Lexer<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], Value<'a>);
    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.value()?.text()?, self.0.value()?))
    }
}

enum Token<'a> {
    Integer(&'a [u8]),
    Text(&'a [u8]),
    List,
    Dict,
    End,
}

#[derive(Clone, Debug)]
struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    fn over(value: Value<'a>) -> Self {
        Self { bytes: value.0, at: 0 }
    }

    /// The token at `at`, which moves behind it.
    fn next(&mut self) -> Result<Token<'a>, ScanError> {
        let at = self.at;
        let fail = |kind| ScanError { kind, at };
        let &first = self.bytes.get(at).ok_or(fail(ScanErrorKind::Truncated))?;
        self.at += 1;
        match first {
            b'l' => Ok(Token::List),
            b'd' => Ok(Token::Dict),
            b'e' => Ok(Token::End),
            b'i' => {
                let minus = usize::from(self.bytes.get(self.at) == Some(&b'-'));
                let start = self.at;
                self.at += minus;
                let digits = self.digits(b'e', fail(ScanErrorKind::BadInteger))?;
                Ok(Token::Integer(&self.bytes[start..start + minus + digits.len()]))
            }
            b'0'..=b'9' => {
                self.at = at;
                let bad = fail(ScanErrorKind::BadLength);
                let digits = self.digits(b':', bad)?;
                let length: Option<usize> = str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
                let length = length.ok_or(bad)?;
                let rest = &self.bytes[self.at..];
                let text = rest.get(..length).ok_or(fail(ScanErrorKind::Truncated))?;
                self.at += length;
                Ok(Token::Text(text))
            }
            byte => Err(fail(ScanErrorKind::BadByte(byte))),
        }
    }

    /// At least one digit, up to `end`, which is passed over.
    fn digits(&mut self, end: u8, bad: ScanError) -> Result<&'a [u8], ScanError> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match rest.get(length) {
            None => Err(ScanError { kind: ScanErrorKind::Truncated, at: bad.at }),
            Some(&byte) if byte == end && length > 0 => {
                self.at += length + 1;
                Ok(&rest[..length])
            }
            Some(_) => Err(bad),
        }
    }

    /// The whole value at `at`, which moves behind it; `None` at the end of the list or dictionary.
    fn value(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.next().ok()? {
                Token::List | Token::Dict => depth += 1,
                Token::End => depth = depth.checked_sub(1)?,
                Token::Integer(_) | Token::Text(_) => {}
            }
            if depth == 0 {
                return Some(Value(&self.bytes[start..self.at]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(bytes: &[u8]) -> ScanErrorKind {
        scan(bytes, Mode::Strict).unwrap_err().kind
    }

    /// Writes what a value shows through its views.
    fn encode(value: Value<'_>) -> Vec<u8> {
        if let Some(digits) = value.integer() {
            return format!("i{digits}e").into_bytes();
        }
        if let Some(text) = value.text() {
            return [text.len().to_string().as_bytes(), b":", text].concat();
        }
        if let Some(items) = value.items() {
            return [&b"l"[..], &items.flat_map(encode).collect::<Vec<_>>(), b"e"].concat();
        }
        let entry = |(key, value): (&[u8], Value<'_>)| {
            [key.len().to_string().as_bytes(), b":", key, &encode(value)].concat()
        };
        [&b"d"[..], &value.entries().unwrap().flat_map(entry).collect::<Vec<_>>(), b"e"].concat()
    }

    /// Case 57 of the original's tests (BE-1 to BE-6).
    #[test]
    fn case_57_what_strict_refuses() {
        use ScanErrorKind::*;
        for (bytes, kind) in [
            ("i-0e", NotShortest),
            ("i03e", NotShortest),
            ("i-03e", NotShortest),
            ("ie", BadInteger),
            ("i-e", BadInteger),
            ("i+5e", BadInteger),
            ("i 5e", BadInteger),
            ("02:xy", NotShortest),
            ("00:", NotShortest),
            ("9999:x", Truncated),
            ("99999999999999999999999:x", BadLength),
            ("18446744073709551615:x", Truncated),
            ("d1:b0:1:a0:e", KeyOrder),
            ("d1:a0:1:a0:e", KeyOrder),
            ("di1e0:e", BadKey),
            ("d1:ae", MissingValue),
            ("l-3:e", BadByte(b'-')),
            ("i6easd", TrailingBytes),
            ("e", StrayEnd),
            ("", Truncated),
            ("l", Truncated),
            ("i5", Truncated),
            ("5", Truncated),
        ] {
            assert_eq!(error(bytes.as_bytes()), kind, "{bytes}");
        }
    }

    /// Case 58.
    #[test]
    fn case_58_what_strict_accepts() {
        for bytes in ["d0:i3ee", "le", "de", "i123456789012345678901234567890e", "i0e", "i-1e", "0:"] {
            let value = scan(bytes.as_bytes(), Mode::Strict).unwrap();
            assert_eq!(encode(value), bytes.as_bytes());
        }
    }

    /// Case 59: no recursion, so no stack to overflow.
    #[test]
    fn case_59_deep_nesting_and_negative_lengths() {
        assert_eq!(error(&vec![b'l'; 100_000]), ScanErrorKind::TooDeep);
        assert_eq!(error(b"d-3:abce"), ScanErrorKind::BadByte(b'-'));
        let nested = |depth| [vec![b'l'; depth], vec![b'e'; depth]].concat();
        assert!(scan(&nested(MAX_DEPTH), Mode::Strict).is_ok());
        assert_eq!(error(&nested(MAX_DEPTH + 1)), ScanErrorKind::TooDeep);
    }

    #[test]
    fn lenient_takes_odd_order_repeats_zeros_and_what_follows() {
        let value = scan(b"d1:bi03e1:a01:x1:bi4ee and more", Mode::Lenient).unwrap();
        assert_eq!(value.raw(), b"d1:bi03e1:a01:x1:bi4ee");
        let [a, b, c] = value.get(["a", "b", "c"]).unwrap();
        assert_eq!((a.unwrap().text(), b.unwrap().integer(), c), (Some(&b"x"[..]), Some("03"), None));
        for bytes in ["i+5e", "ie", "d1:ae", "di1e0:e", "", "9999:x"] {
            assert!(scan(bytes.as_bytes(), Mode::Lenient).is_err(), "{bytes}");
        }
    }

    #[test]
    fn an_error_names_its_place() {
        let error = scan(b"d1:ai1e1:bi-ee", Mode::Lenient).unwrap_err();
        assert_eq!(error.to_string(), "bad integer at byte 10");
        assert_eq!(
            scan(b"l?", Mode::Lenient).unwrap_err().to_string(),
            "no value begins with byte 0x3f at byte 1"
        );
    }

    #[test]
    fn the_number_of_tokens_is_bounded() {
        let many = [&b"l"[..], &b"0:".repeat(MAX_TOKENS), b"e"].concat();
        assert_eq!(error(&many), ScanErrorKind::TooManyTokens);
    }

    /// Bencoded values, canonical.
    fn canonical() -> impl Strategy<Value = Vec<u8>> {
        let text = |bytes: &[u8]| [bytes.len().to_string().as_bytes(), b":", bytes].concat();
        let leaf = prop_oneof![
            any::<i64>().prop_map(|n| format!("i{n}e").into_bytes()),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(move |bytes| text(&bytes)),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            let key = prop::collection::vec(any::<u8>(), 0..4);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(|items| [
                    &b"l"[..],
                    &items.concat(),
                    b"e"
                ]
                .concat()),
                prop::collection::btree_map(key, inner, 0..5).prop_map(move |entries| {
                    let entries: Vec<u8> =
                        entries.iter().flat_map(|(k, v)| [text(k), v.clone()].concat()).collect();
                    [&b"d"[..], &entries, b"e"].concat()
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_shown_as_it_is(bytes in canonical()) {
            prop_assert_eq!(encode(scan(&bytes, Mode::Strict).unwrap()), bytes);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(prop::sample::select(b"ilde0123:-x".to_vec()), 0..60)) {
            if let Ok(value) = scan(&bytes, Mode::Lenient) {
                encode(value);
            }
            if let Ok(value) = scan(&bytes, Mode::Strict) {
                prop_assert_eq!(encode(value), bytes);
            }
        }
    }
}
