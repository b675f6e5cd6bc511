//! The command lines of the binaries, as functions that any binary can call.

mod run;
pub mod torrent;

pub use run::main;

/// A tracker's URL, of whatever scheme.
fn tracker_url(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("expected a URL such as http://tracker.example/announce".to_owned()),
    }
}
