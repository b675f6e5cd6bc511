//! What the original client does, case by case: the numbers are those of the behaviour sheet's test list.
//!
//! Cases of the codec, the handshake's bytes, the policies, metainfo and storage are tested where those are.

mod common;

#[path = "mainline/announces.rs"]
mod announces;
#[path = "mainline/connections.rs"]
mod connections;
#[path = "mainline/downloader.rs"]
mod downloader;
#[path = "mainline/pieces.rs"]
mod pieces;
#[path = "mainline/uploader.rs"]
mod uploader;
