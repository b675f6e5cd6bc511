//! Plug-ins of one's own, out of the framework's tree: a choke policy, a store, a source of peers, and a
//! profile that uses them.

mod one_file;
mod peer_list;
mod proportional;

pub use one_file::OneFile;
pub use peer_list::PeerList;
pub use proportional::Proportional;

bt_api::ship_profile!("mine", "../profiles/mine.toml");
