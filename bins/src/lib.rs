//! The plug-ins, profiles and scenarios that the shipped binaries have: `use bt_bins as _;` links them all.

use {bt_policies as _, bt_storage as _};

bt_api::ship_profile!("bittornado", "../profiles/bittornado.toml");
bt_api::ship_profile!("database", "../profiles/database.toml");
bt_api::ship_profile!("free-rider", "../profiles/free-rider.toml");
bt_api::ship_profile!("mainline", "../profiles/mainline.toml");
bt_api::ship_profile!("mainline-3.2", "../profiles/mainline-3.2.toml");
bt_api::ship_profile!("mainline-4", "../profiles/mainline-4.toml");
bt_api::ship_profile!("memory", "../profiles/memory.toml");
bt_api::ship_profile!("modern", "../profiles/modern.toml");
bt_api::ship_profile!("null", "../profiles/null.toml");
bt_api::ship_profile!("piece-files", "../profiles/piece-files.toml");
bt_api::ship_profile!("random-choker", "../profiles/random-choker.toml");
bt_api::ship_profile!("sequential", "../profiles/sequential.toml");
bt_api::ship_profile!("smart-seed", "../profiles/smart-seed.toml");

bt_api::ship_scenario!("adsl", "../scenarios/adsl.toml");
bt_api::ship_scenario!("bharambe-3", "../scenarios/bharambe-3.toml");
bt_api::ship_scenario!("bharambe-4", "../scenarios/bharambe-4.toml");
bt_api::ship_scenario!("bharambe-5", "../scenarios/bharambe-5.toml");
bt_api::ship_scenario!("bharambe-homogeneous", "../scenarios/bharambe-homogeneous.toml");
bt_api::ship_scenario!("bharambe-nwb", "../scenarios/bharambe-nwb.toml");
bt_api::ship_scenario!("bharambe-pfc", "../scenarios/bharambe-pfc.toml");
bt_api::ship_scenario!("flash-crowd", "../scenarios/flash-crowd.toml");
bt_api::ship_scenario!("free-riders", "../scenarios/free-riders.toml");
bt_api::ship_scenario!("homogeneous", "../scenarios/homogeneous.toml");
bt_api::ship_scenario!("open-poisson", "../scenarios/open-poisson.toml");
bt_api::ship_scenario!("peersim-4", "../scenarios/peersim-4.toml");
bt_api::ship_scenario!("slow-seed", "../scenarios/slow-seed.toml");
bt_api::ship_scenario!("three-classes", "../scenarios/three-classes.toml");
