//! FairTorrent: the next block goes to the peer to which we owe the most.
//!
//! For each peer it keeps the deficit, the bytes sent to it less those that came from it, and whenever a block can be
//! sent it goes to the waiting peer with the smallest deficit. There are no rounds, no rates and no slots: everybody is
//! unchoked. So what a leecher gave and what it got differ by little, at any time and whatever others do. Bytes from
//! seeds are not counted, as they expect nothing in return; a seed shares its uplink evenly. Among equal deficits
//! an order decides that each client draws for itself.
//!
//! Who has nothing to give yet gets a block from each and then waits behind all who give: it begins with what seeds give.
//! In a swarm of its own kind the seeds should serve everybody, as this one does, and not a few at a time.
//!
//! Ours: only a few peers are sent to at a time (`uploads`). On a network without a limit on upload every socket takes a
//! block at any time, and all would be served at once.
//!
//! Source: Sherman, Nieh, Stein, "FairTorrent: bringing fairness to peer-to-peer systems", CoNEXT 2009 (the algorithm),
//! and IEEE/ACM Transactions on Networking, 2012.

use std::collections::BTreeMap;

use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerFacts, PeerKey, Rng, Serve, SwarmView, Unchokes,
    Waiting,
};
use serde::{Deserialize, Serialize};

use super::by_block;

/// Gives the next block to the peer with the smallest deficit.
#[derive(Debug)]
pub struct FairTorrent {
    config: Config,
    accounts: BTreeMap<PeerKey, Account>,
}

/// What is kept of one peer.
#[derive(Clone, Copy, Debug)]
struct Account {
    /// Bytes that came from it while it lacked something.
    received: u64,
    /// Its place among equals.
    order: u32,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Peers that a leecher sends to at once.
    pub uploads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { uploads: 4 }
    }
}

impl Plugin for FairTorrent {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "fair-torrent";
    const SUMMARY: &'static str = "gives the next block to the peer to which it owes the most (FairTorrent)";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(FairTorrent);

impl FairTorrent {
    /// A choker that owes nobody anything yet.
    ///
    /// # Errors
    /// When `uploads` is 0.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.uploads == 0 {
            return Err(BuildError::new("uploads", "must be at least 1"));
        }
        Ok(Self { config, accounts: BTreeMap::new() })
    }

    /// Bytes given to `peer`, those on their way among them, less the bytes that it gave as a leecher. The smallest of
    /// all is owed the most.
    pub fn deficit(&self, peer: &PeerFacts) -> i128 {
        let received = self.accounts.get(&peer.key).map_or(0, |account| account.received);
        by_block::given(peer) - i128::from(received)
    }
}

impl ChokePolicy for FairTorrent {
    fn next_round(&self) -> Instant {
        Instant::NEVER
    }

    fn max_interested(&self) -> usize {
        usize::MAX
    }

    fn notice(
        &mut self,
        _: Instant,
        event: PeerEvent<'_>,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
    ) -> Notice {
        match event {
            PeerEvent::Connected(peer) => {
                self.accounts.insert(peer, Account { received: 0, order: rng.next_u32() });
                return Notice::Rechoke;
            }
            PeerEvent::Gone(peer) => {
                self.accounts.remove(&peer.key);
            }
            PeerEvent::Received(key, bytes) if swarm.peer(key).is_some_and(|peer| !peer.is_seed()) => {
                if let Some(account) = self.accounts.get_mut(&key) {
                    account.received = account.received.saturating_add(u64::from(bytes));
                }
            }
            _ => {}
        }
        Notice::Nothing
    }

    fn choose(
        &mut self,
        _: Instant,
        _: Cause,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        by_block::unchoke_all(swarm, unchokes);
    }

    fn serve(&mut self, _: Instant, waiting: &Waiting<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        if swarm.own().is_seed {
            return Serve::ByShare;
        }
        let order = |key| self.accounts.get(&key).map_or(0, |account| account.order);
        by_block::candidates(waiting, swarm, self.config.uploads)
            .min_by_key(|(peer, _)| (self.deficit(peer), order(peer.key), peer.key))
            .map_or(Serve::Nobody, |(peer, _)| Serve::Peer(peer.key))
    }
}

#[cfg(test)]
mod tests {
    use bt_api::PieceIndex;
    use proptest::prelude::*;

    use super::*;
    use crate::choke::harness::exchange::{self, BLOCK, Exchange};

    fn exchange(uploads: usize, peers: &str) -> Exchange<FairTorrent> {
        let mut exchange = Exchange::new(FairTorrent::new(Config { uploads }).unwrap(), 1);
        peers.chars().for_each(|peer| exchange.join(peer));
        exchange
    }

    #[test]
    fn everybody_is_unchoked_at_once() {
        let mut exchange = exchange(1, "abc");
        exchange.client.connect('d');
        assert_eq!(exchange.client.unchoked(), "abcd");
        assert_eq!(exchange.client.policy.next_round(), Instant::NEVER);
    }

    #[test]
    fn the_next_block_goes_to_whom_most_is_owed() {
        let mut exchange = exchange(1, "abc");
        exchange.receive('b', 3 * BLOCK);
        exchange.receive('c', BLOCK);
        // While a block is on its way to somebody, the others ask too.
        "abc".chars().for_each(|peer| exchange.ask(peer, 9));
        exchange.served.clear();
        (0..9).for_each(|_| exchange.take_any());
        let count = |peer| exchange.served.chars().filter(|&one| one == peer).count();
        // What they gave comes back first; after that all are level.
        assert!(exchange.served.starts_with("bb"), "{}", exchange.served);
        let deficits = "abc".chars().map(|peer| {
            let facts = exchange.client.peers.iter().find(|one| one.key.0 == u32::from(peer)).unwrap();
            exchange.client.policy.deficit(facts)
        });
        let (least, most) = deficits.fold((i128::MAX, i128::MIN), |(a, b), x| (a.min(x), b.max(x)));
        assert!(most - least <= i128::from(BLOCK), "{least} {most}");
        assert!(count('b') > count('c') && count('c') >= count('a'), "{}", exchange.served);
    }

    #[test]
    fn what_a_seed_gave_is_not_owed() {
        let mut exchange = exchange(1, "ab");
        exchange.client.peer('a').pieces.insert(PieceIndex(0));
        exchange.receive('a', 100 * BLOCK);
        let facts = exchange.client.peer('a').clone();
        assert_eq!(exchange.client.policy.deficit(&facts), 0);
    }

    #[test]
    fn a_seed_shares_evenly() {
        let mut exchange = exchange(1, "ab");
        exchange.receive('b', 100 * BLOCK);
        exchange.client.own.is_seed = true;
        exchange.ask('a', 1);
        assert_eq!(exchange.answers, [Serve::ByShare]);
    }

    #[test]
    fn no_upload_at_all_is_refused() {
        let error = FairTorrent::new(Config { uploads: 0 }).unwrap_err();
        assert!(format!("{error:?}").contains("at least 1"), "{error:?}");
    }

    proptest! {
        /// Whoever is served has the smallest deficit of all that wait, in any history.
        #[test]
        fn nobody_is_served_before_one_who_is_owed_more(
            uploads in 1_usize..4, seed in any::<u64>(), ops in exchange::history(),
        ) {
            let policy = || FairTorrent::new(Config { uploads }).unwrap();
            let end = exchange::play(policy(), seed, &ops, |policy, waiting, swarm, serve| {
                let Serve::Peer(chosen) = serve else { return };
                let deficit = |key| policy.deficit(swarm.peer(key).expect("connected"));
                let least = waiting.iter().map(|queue| deficit(queue.peer)).min();
                let busy = swarm.peers().iter().filter(|peer| peer.unsent > 0).count();
                assert!(busy < uploads, "{busy} are sent to");
                assert_eq!(Some(deficit(chosen)), least);
            });
            let again = exchange::play(policy(), seed, &ops, |_, _, _, _| ());
            prop_assert_eq!(end.served, again.served);
        }
    }
}
