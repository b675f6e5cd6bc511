//! The scanner of bencode: what strict takes lenient takes too, and values are cut out of the input whole.
#![no_main]

use bt_engine::bencode::{Mode, Value, scan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let lenient = scan(bytes, Mode::Lenient);
    if let Ok(root) = scan(bytes, Mode::Strict) {
        assert_eq!(root.raw(), bytes);
        assert_eq!(lenient.map(Value::raw), Ok(bytes));
    }
    if let Ok(root) = lenient {
        assert!(bytes.starts_with(root.raw()));
        assert_eq!(scan(root.raw(), Mode::Lenient).map(Value::raw), Ok(root.raw()));
        walk(root);
    }
});

/// Every value within is what the scanner makes of its bytes alone. Nesting is bounded by the scanner.
fn walk(value: Value<'_>) {
    let children: Vec<Value<'_>> = match (value.items(), value.entries()) {
        (Some(items), None) => items.collect(),
        (None, Some(entries)) => entries.map(|(_, value)| value).collect(),
        _ => {
            assert!(value.text().is_some() != value.integer().is_some());
            return;
        }
    };
    children.into_iter().for_each(walk);
}
