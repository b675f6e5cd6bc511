//! What the original client does, case by case: the numbers are those of `bt-runtime/docs/mainline.md`. And what
//! profiles of its other releases do.
//!
//! Cases of the codec, the handshake's bytes, the policies, metainfo and storage are tested where those are.

mod common;

#[path = "mainline/announces.rs"]
mod announces;
#[path = "mainline/clocks.rs"]
mod clocks;
#[path = "mainline/connections.rs"]
mod connections;
#[path = "mainline/downloader.rs"]
mod downloader;
#[path = "mainline/fast.rs"]
mod fast;
#[path = "mainline/guard.rs"]
mod guard;
#[path = "mainline/limiter.rs"]
mod limiter;
#[path = "mainline/pieces.rs"]
mod pieces;
#[path = "mainline/store.rs"]
mod store;
#[path = "mainline/super_seed.rs"]
mod super_seed;
#[path = "mainline/trackers_for_a_day.rs"]
mod trackers_for_a_day;
#[path = "mainline/upload_limit.rs"]
mod upload_limit;
#[path = "mainline/uploader.rs"]
mod uploader;
