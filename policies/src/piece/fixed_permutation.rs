//! Every client has an order of its own, drawn at the start, and takes the pieces in that order.
//!
//! As good as [`random`](super::random) at spreading pieces, but a client that asks several peers at once
//! asks them for the same pieces, so few are half here at any time.
//!
//! Source: `-permutations` of the simulator OctoSim (Bharambe, Herley and Padmanabhan, INFOCOM 2006).

use bt_api::plugin::{BuildError, Piece, Plugin};
use bt_api::{Instant, PeerFacts, PieceIndex, PiecePolicy, PieceView, Rng, rng};
use serde::{Deserialize, Serialize};

use super::plain::{Choose, Plain};

/// Asks for the first useful piece of one random order.
#[derive(Debug)]
pub struct FixedPermutation {
    config: Config,
    /// All pieces; drawn when it is first needed.
    order: Vec<PieceIndex>,
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

impl Plugin for FixedPermutation {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "fixed-permutation";
    const SUMMARY: &'static str = "takes the pieces in one random order, drawn at the start (OctoSim)";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Ok(Plain::boxed(Self::new(config)))
    }
}
bt_api::register!(FixedPermutation);

impl FixedPermutation {
    fn new(config: Config) -> Self {
        Self { config, order: Vec::new() }
    }
}

impl Choose for FixedPermutation {
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
        if self.order.is_empty() {
            self.order = (0..view.pieces().count()).map(PieceIndex).collect();
            rng::shuffle(rng, &mut self.order);
        }
        self.order.iter().copied().find(|&piece| view.offers(peer, piece))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::piece::harness::{self, Client};

    const PIECES: u32 = 30;

    fn client(seed: u64) -> Client<Plain<FixedPermutation>> {
        Client::new(Plain::new(FixedPermutation::new(Config { endgame: false })), PIECES, seed)
    }

    /// In which order a client takes the pieces of a peer that has `pieces`.
    fn order(client: &mut Client<Plain<FixedPermutation>>, pieces: &[u32]) -> Vec<u32> {
        let peer = client.connect(pieces);
        let mut order = Vec::new();
        while let Some(piece) = client.pick_piece(peer) {
            order.push(piece);
            client.start_all(peer, piece);
        }
        client.leave(peer);
        order
    }

    #[test]
    fn one_order_for_all_peers_and_times_and_another_for_another_client() {
        let all: Vec<u32> = (0..PIECES).collect();
        let mut one = client(1);
        let whole = order(&mut one, &all);
        let some: Vec<u32> = all.iter().copied().filter(|piece| piece % 3 == 0).collect();
        (0..5).for_each(|_| _ = one.connect(&all[..20]));
        let of_some: Vec<u32> = whole.iter().copied().filter(|piece| piece % 3 == 0).collect();
        assert_eq!(order(&mut one, &some), of_some, "whatever is rare now");
        assert_eq!(order(&mut client(1), &all), whole);
        let firsts: std::collections::BTreeSet<u32> =
            (0..200).map(|seed| order(&mut client(seed), &all)[0]).collect();
        assert!(firsts.len() > 25, "{firsts:?}");
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises_and_ends(
            endgame: bool, seed in any::<u64>(), ops in harness::history(),
        ) {
            let policy = || Plain::new(FixedPermutation::new(Config { endgame }));
            prop_assert_eq!(harness::play(policy(), seed, &ops), harness::play(policy(), seed, &ops));
        }
    }
}
