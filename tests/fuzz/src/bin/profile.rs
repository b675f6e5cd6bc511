//! Profiles, with every plug-in linked: a profile that loads can be printed and loads again as the same, and
//! one that does not is refused in one line.
//!
//! The input is text; what stands after a NUL is a `--set`.
#![no_main]

use bt_runtime::Profile;
use libfuzzer_sys::fuzz_target;
use {bt_policies as _, bt_storage as _};

fuzz_target!(|text: &str| {
    let mut parts = text.split('\0').map(str::to_owned);
    let text = parts.next().unwrap_or_default();
    let sets: Vec<String> = parts.collect();
    match Profile::from_text("fuzz", &text, &sets) {
        Ok(profile) => {
            let printed = profile.to_toml();
            let again = Profile::from_text("fuzz", &printed, &[]);
            assert_eq!(again.map(|again| again.to_toml()), Ok(printed));
        }
        Err(error) => {
            assert!(!error.to_string().chars().any(char::is_control), "{error}");
            assert!(error.detailed().lines().count() <= 3);
        }
    }
});
