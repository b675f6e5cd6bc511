//! Every policy of this crate keeps what its trait promises, under its defaults and at the edges of its table.

use bt_api::Registry;
use bt_api::plugin::{Choke, Piece};
use bt_api::testkit::{choke_conformance, piece_conformance};
use bt_policies::{choke, piece};

/// The kit for each of these policies, each under its own name, and a test that none is left out.
macro_rules! all {
    ($kind:ident, $conformance:ident, $test:ident; $($name:ident: $policy:ty $(, $table:expr)*;)*) => {
        $($conformance!($name: $policy $(, $table)*);)*

        #[test]
        fn $test() {
            let listed = [$(stringify!($name)),*];
            let registry = Registry::of::<$kind>().unwrap();
            let ours = registry.iter().filter(|one| one.krate == "bt-policies");
            let missing: Vec<&str> =
                ours.map(|one| one.name).filter(|name| !listed.contains(&&*name.replace('-', "_"))).collect();
            assert_eq!(missing, [""; 0], "these are in no list of this file");
        }
    };
}

mod chokers {
    use super::*;

    all! { Choke, choke_conformance, every_choke_policy_is_listed;
        birds: choke::design_space::Birds, "", "partners = 1\nstranger-slots = 0";
        bittyrant: choke::bittyrant::BitTyrant, "", "form = \"1.1\"", "selfish = true";
        block_tft: choke::block_tft::BlockTft, "", "scope = \"overall\"", "delta = 0\nblock = \"16 KiB\"\nuploads = 1";
        // The default is periodic, last-round, fastest, equal-split.
        design_space: choke::design_space::DesignSpace, "",
            "strangers = \"when-needed\"\nranking = \"slowest\"\nallocation = \"prop-share\"",
            "strangers = \"defect\"\nranking = \"proximity\"\nallocation = \"free-ride\"",
            "candidates = \"last-two-rounds\"\nranking = \"loyal\"\nallocation = \"prop-share\"",
            "ranking = \"random\"\nstranger-slots = 0\npartners = 1";
        fair_torrent: choke::fair_torrent::FairTorrent;
        fan_lui_chiu: choke::fan_lui_chiu::FanLuiChiu;
        free_rider: choke::free_rider::FreeRider;
        large_view: choke::free_rider::LargeView;
        libtorrent: choke::libtorrent::Libtorrent, "", "seed-order = \"anti-leech\"",
            "algorithm = \"rate-based\"\nseed-order = \"fastest-upload\"",
            "slots = 1\noptimistic-slots = 1\nturn-order = \"waiting\"";
        pfs: choke::pfs::Pfs;
        prop_share: choke::prop_share::PropShare;
        random: choke::random::Random, "", "slots = 1";
        round_robin: choke::round_robin::RoundRobin, "", "slots = 1";
        tit_for_tat: choke::tit_for_tat::TitForTat, "", "max-uploads = 1\nmin-uploads = 0";
        transmission: choke::transmission::Transmission;
        unchoke_all: choke::unchoke_all::UnchokeAll;
    }
}

mod pickers {
    use super::*;

    all! { Piece, piece_conformance, every_piece_policy_is_listed;
        bitos: piece::bitos::Bitos;
        bittornado: piece::bittornado::BitTornado, "", "endgame = false", "super-seeding = true";
        deadline: piece::deadline::Deadline;
        fixed_permutation: piece::fixed_permutation::FixedPermutation;
        give_to_get: piece::give_to_get::GiveToGet;
        global_rarest: piece::global_rarest::GlobalRarest;
        mode_suppression: piece::mode_suppression::ModeSuppression;
        portion: piece::portion::Portion;
        random: piece::random::Random;
        rarest_first: piece::rarest_first::RarestFirst, "", "partials = \"tie-break\"\nendgame-sticky = true", "super-seeding = true";
        rfwpms: piece::rfwpms::Rfwpms;
        sequential: piece::sequential::Sequential, "", "endgame = false";
        smart_seed: piece::smart_seed::SmartSeed;
        super_seed: piece::super_seeding::SuperSeeding;
        zipf: piece::zipf::Zipf;
    }
}
