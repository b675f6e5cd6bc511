use proptest::prelude::*;

use super::*;
use crate::Profile;

#[test]
fn a_place_is_counted_in_characters_from_1() {
    let source = Source::new("p.toml", "a = 1\n\t\"ä\" = x\n", &[], "a=1").unwrap();
    let at = source.main().text.find('x').unwrap();
    let error = source.error(Some(at..at + 1), "wrong");
    assert_eq!(error.detailed(), "p.toml:2:8: wrong\n  |  \"ä\" = x\n  |        ^");
}

proptest! {
    #[test]
    fn whatever_the_text_the_message_is_one_line(
        text in "([\\[\\]{}=.,'\"#\n\ta-cä0-9]|choke|piece|use|tit-for-tat|\\PC){0,40}",
        sets in proptest::collection::vec("[a-c.]{0,5}=?[\\[\\]{}=.,'\"#\na-cä0-9]{0,9}", 0..3),
    ) {
        let error = Profile::from_text("p", &text, &sets).unwrap_err();
        prop_assert!(!error.to_string().contains(char::is_control), "{error}");
        prop_assert!(error.detailed().lines().count() <= 3, "{}", error.detailed());
    }
}
