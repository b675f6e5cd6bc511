//! The policies and tracker clients in the box: one algorithm, one file.
//!
//! A binary that says `use bt_policies as _;` can name each of them in a profile:
//!
//! | folder | kind | table of the profile |
//! | --- | --- | --- |
//! | [`choke`] | whom to serve | `[choke]` |
//! | [`piece`] | what to ask for | `[piece]` |
//! | [`tracker`] | where peers come from | `[tracker]` |

pub mod choke;
pub mod piece;
pub mod tracker;
