//! The plug-ins and profiles that the shipped binaries have: `use bt_bins as _;` links them all.

use {bt_policies as _, bt_storage as _};

bt_api::ship_profile!("bittornado", "../profiles/bittornado.toml");
bt_api::ship_profile!("mainline", "../profiles/mainline.toml");
bt_api::ship_profile!("mainline-3.2", "../profiles/mainline-3.2.toml");
bt_api::ship_profile!("mainline-4", "../profiles/mainline-4.toml");
bt_api::ship_profile!("memory", "../profiles/memory.toml");
bt_api::ship_profile!("modern", "../profiles/modern.toml");
bt_api::ship_profile!("random-choker", "../profiles/random-choker.toml");
bt_api::ship_profile!("sequential", "../profiles/sequential.toml");
