//! Random pieces: the baseline against which a picker is measured.
//!
//! Every useful piece of a peer is as likely as any other, however rare it is. Models of swarms assume this picker, since
//! it can be analysed; rarest first exists to beat it. What is begun is finished before anything new is drawn: drawn for
//! each block, all pieces would be half here and none to be shared.
//!
//! Source: "random useful piece" of Massoulié and Vojnović ("Coupon replication systems", SIGMETRICS 2005) and of Hajek
//! and Zhu ("The missing piece syndrome in peer-to-peer communication", 2011).

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{Instant, PeerFacts, PieceIndex, PiecePolicy, PieceView, Rng};
use serde::{Deserialize, Serialize};

use super::plain::{self, Choose, Plain};

/// Asks for begun pieces, then for any.
#[derive(Debug)]
pub struct Random {
    config: Config,
}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Whether the last blocks are asked of several peers.
    pub endgame: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { endgame: true }
    }
}

impl Plugin for Random {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "random";
    const SUMMARY: &'static str = "takes any piece, each as likely as the others";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Ok(Plain::boxed(Self { config }))
    }
}
bt_api::register!(Random);

impl Choose for Random {
    fn endgame(&self) -> bool {
        self.config.endgame
    }

    fn choose(
        &mut self,
        _: Instant,
        peer: &PeerFacts,
        view: &PieceView<'_>,
        rng: &mut dyn Rng,
    ) -> Option<PieceIndex> {
        plain::begun(peer, view).or_else(|| plain::any(peer, view, |_| true, rng))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::piece::harness::{self, Client};

    fn policy(endgame: bool) -> Plain<Random> {
        Plain::new(Random { config: Config { endgame } })
    }

    #[test]
    fn every_piece_is_as_likely_however_rare() {
        let mut drawn = [0; 5];
        for seed in 0..2000 {
            let mut client = Client::new(policy(true), 6, seed);
            // Piece 0 is the rarest by far.
            (0..9).for_each(|_| _ = client.connect(&[1, 2, 3, 4]));
            let peer = client.connect(&[0, 1, 2, 3, 4]);
            drawn[client.pick_piece(peer).expect("a piece") as usize] += 1;
        }
        assert!(drawn.iter().all(|&times| (330..470).contains(&times)), "{drawn:?}");
    }

    #[test]
    fn a_seed_is_not_asked_to_finish_what_others_began() {
        let mut asked = 0;
        for seed in 0..200 {
            let mut client = Client::new(policy(true), 100, seed);
            let peer = client.connect(&[7]);
            client.start(peer, 7);
            let seed = client.connect(&(0..100).collect::<Vec<_>>());
            asked += u32::from(client.pick_piece(seed) == Some(7));
        }
        assert!(asked < 15, "no more often than for any other piece: {asked}");
    }

    #[test]
    fn what_is_begun_is_finished_first() {
        let mut client = Client::new(policy(true), 100, 1);
        let peer = client.connect(&(0..99).collect::<Vec<_>>());
        let blocks: Vec<_> = (0..9).map(|_| client.ask(peer).expect("a block").piece).collect();
        assert!(blocks.chunks(3).all(|piece| piece.iter().all(|&one| one == piece[0])), "{blocks:?}");
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises_and_ends(
            endgame: bool, seed in any::<u64>(), ops in harness::history(),
        ) {
            let log = harness::play(policy(endgame), seed, &ops);
            prop_assert_eq!(log, harness::play(policy(endgame), seed, &ops));
        }
    }
}
