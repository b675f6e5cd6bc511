//! Super-seeding by its own name: rarest first while pieces are missing, one piece at a time to each peer after that.
//!
//! It is [`rarest_first`] with `super-seeding = true`, for a first seed whose uplink is what the swarm waits
//! for. How pieces are shown stands in `super_seed.rs`.
//!
//! Source: BEP 16, and the rules of BitTornado.

use bt_api::PiecePolicy;
use bt_api::plugin::{BuildError, Piece, Plugin};
use serde::{Deserialize, Serialize};

use super::rarest_first::{self, RarestFirst};

/// Shows each peer one piece, and the next one once that was passed on; downloads the rarest first.
#[derive(Debug)]
pub enum SuperSeeding {}

/// The `[piece]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Pieces are shown more freely while fewer peers than this want any.
    pub slots: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { slots: 4 }
    }
}

impl Plugin for SuperSeeding {
    type Kind = Piece;
    type Config = Config;
    const NAME: &'static str = "super-seed";
    const SUMMARY: &'static str = "as a seed shows each peer one piece, the next when it was passed on (BEP 16); rarest first until then";

    fn build(config: Config) -> Result<Box<dyn PiecePolicy>, BuildError> {
        Ok(Box::new(policy(&config)))
    }
}
bt_api::register!(SuperSeeding);

fn policy(config: &Config) -> RarestFirst {
    let super_seed_slots = config.slots;
    RarestFirst::new(rarest_first::Config {
        super_seeding: true,
        super_seed_slots,
        ..rarest_first::Config::default()
    })
}

#[cfg(test)]
mod tests {
    use bt_api::{Advertise, PieceEvent, PieceIndex, PieceSet};
    use proptest::prelude::*;

    use super::*;
    use crate::piece::harness::{self, Client};

    /// What each of `peers` is shown once the seed's clock has called for it so many times.
    fn shown(client: &mut Client<RarestFirst>, peers: &[bt_api::PeerKey], looks: u32) -> Vec<PieceSet> {
        let mut shown = Vec::new();
        for _ in 0..=looks {
            client.now = client.policy.next_wakeup().unwrap_or(client.now).max(client.now);
            shown = peers
                .iter()
                .map(|&peer| match client.advertise(peer) {
                    Advertise::Only(shown) => shown,
                    other => panic!("{other:?}"),
                })
                .collect();
        }
        shown
    }

    #[test]
    fn each_peer_is_shown_another_piece_and_the_next_one_when_it_was_passed_on() {
        let mut client = Client::new(policy(&Config { slots: 1 }), 8, 1);
        (0..8).for_each(|piece| client.complete(piece));
        let peers = [client.connect(&[]), client.connect(&[])];
        peers.iter().for_each(|&peer| client.peer(peer).peer_interested = true);
        assert!(shown(&mut client, &peers, 0).iter().all(PieceSet::is_empty));
        let first = shown(&mut client, &peers, 12);
        assert_eq!(first.iter().map(PieceSet::count).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(first[0].common(&first[1]), 0, "one copy of each");
        assert_eq!(shown(&mut client, &peers, 12), first, "nothing was passed on");
        let passed: Vec<PieceIndex> = first[0].iter().collect();
        peers.iter().for_each(|&peer| client.event(PieceEvent::Announced(peer, passed[0])));
        let second = shown(&mut client, &peers, 12);
        assert_eq!(second.iter().map(PieceSet::count).collect::<Vec<_>>(), [2, 1]);
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises_and_ends(seed in any::<u64>(), ops in harness::history()) {
            let policy = || policy(&Config::default());
            prop_assert_eq!(harness::play(policy(), seed, &ops), harness::play(policy(), seed, &ops));
        }
    }
}
