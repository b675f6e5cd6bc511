//! Every policy of this crate keeps what its trait promises, under its defaults and at the edges of its table.

use bt_api::Registry;
use bt_api::plugin::{Choke, Kind, Piece};
use bt_api::testkit::{choke_conformance, piece_conformance};
use bt_policies::choke::{free_rider::FreeRider, random::Random, tit_for_tat::TitForTat};
use bt_policies::piece::{
    bittornado::BitTornado, rarest_first::RarestFirst, sequential::Sequential, smart_seed::SmartSeed,
};

/// The kit for each of these policies, each under its own name, and a test that none is left out.
macro_rules! all {
    ($kind:ident, $conformance:ident, $test:ident; $($name:ident: $policy:ty $(, $table:expr)*;)*) => {
        $($conformance!($name: $policy $(, $table)*);)*

        #[test]
        fn $test() {
            let listed = [$(stringify!($name)),*];
            let registry = Registry::of::<$kind>().unwrap();
            let ours = registry.iter().filter(|one| one.krate == "bt-policies" && one.table == $kind::TABLE);
            let missing: Vec<&str> =
                ours.map(|one| one.name).filter(|name| !listed.contains(&&*name.replace('-', "_"))).collect();
            assert_eq!(missing, [""; 0], "these are in no list of this file");
        }
    };
}

all! { Choke, choke_conformance, every_choke_policy_is_listed;
    free_rider: FreeRider;
    random: Random, "", "slots = 1";
    tit_for_tat: TitForTat, "", "max-uploads = 1\nmin-uploads = 0";
}

all! { Piece, piece_conformance, every_piece_policy_is_listed;
    bittornado: BitTornado, "", "endgame = false", "super-seeding = true";
    rarest_first: RarestFirst, "", "partials = \"tie-break\"\nendgame-sticky = true", "super-seeding = true";
    sequential: Sequential, "", "endgame = false";
    smart_seed: SmartSeed;
}
