//! Serves everyone, always: what a choker must be worth more than.
//!
//! Each peer is unchoked as soon as it connects, and the uplink is shared by all that ask, equally. A seed does the same.
//!
//! Source: what the clients on anacrolix/torrent and rqbit in effect do.

use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, PeerEvent, Reason, Rng, Serve, SwarmView, Unchokes, Waiting,
};
use serde::{Deserialize, Serialize};

/// Serves everyone.
#[derive(Debug)]
pub struct UnchokeAll;

/// The `[choke]` table: there is nothing to set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {}

impl Plugin for UnchokeAll {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "unchoke-all";
    const SUMMARY: &'static str = "serves everyone";

    fn build(_: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Ok(Box::new(Self))
    }
}
bt_api::register!(UnchokeAll);

impl ChokePolicy for UnchokeAll {
    fn next_round(&self) -> Instant {
        Instant::NEVER
    }

    fn max_interested(&self) -> usize {
        usize::MAX
    }

    fn notice(&mut self, _: Instant, event: PeerEvent<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        match event {
            PeerEvent::Connected(_) => Notice::Rechoke,
            _ => Notice::Nothing,
        }
    }

    fn choose(
        &mut self,
        _: Instant,
        _: Cause,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        swarm.peers().iter().for_each(|peer| unchokes.push(peer.key, Reason::EVERYONE));
    }

    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        Serve::ByShare
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::choke::harness;

    proptest! {
        #[test]
        fn everyone_is_served_at_every_moment(seed in any::<u64>(), ops in harness::history()) {
            let client = harness::play(UnchokeAll, seed, &ops);
            prop_assert!(client.peers.iter().all(|peer| !peer.am_choking));
        }
    }
}
