//! What each peer gives and what it costs, as BitTyrant learns it from round to round.

use std::collections::BTreeMap;
use std::time::Duration;

use bt_api::{Instant, PeerFacts, PeerKey, SwarmView};

use super::{Config, Form};

/// What is known of each peer that is connected.
#[derive(Debug, Default)]
pub(super) struct Offers(BTreeMap<PeerKey, Terms>);

/// What is known of one peer.
#[derive(Clone, Copy, Debug, Default)]
struct Terms {
    /// What it gives when it serves us, in bytes per second: *d*.
    gives: u64,
    /// Whether that was measured and is not a guess.
    known: bool,
    /// What it is sent so that it serves us, in bytes per second: *u*. None while nothing was ever offered.
    offer: Option<u64>,
    /// Whether that was offered in the round that runs.
    offered: bool,
    /// Rounds in a row in which it took the offer and served us.
    served: u32,
}

impl Offers {
    /// What `peer` gives, or probably would.
    pub(super) fn gives(&self, peer: PeerKey) -> u64 {
        self.0.get(&peer).map_or(0, |terms| terms.gives)
    }

    /// Whether `peer` has ever served us.
    pub(super) fn is_known(&self, peer: PeerKey) -> bool {
        self.0.get(&peer).is_some_and(|terms| terms.known)
    }

    /// What `peer` is offered; a peer without an offer the `market` rate.
    pub(super) fn offer(&self, peer: PeerKey, market: u64) -> u64 {
        self.0.get(&peer).and_then(|terms| terms.offer).unwrap_or(market).max(1)
    }

    /// `offer` is made to `peer` for the round that begins.
    pub(super) fn make(&mut self, peer: PeerKey, offer: u64) {
        if let Some(terms) = self.0.get_mut(&peer) {
            (terms.offer, terms.offered) = (Some(offer), true);
        }
    }

    /// What a peer is offered of which nothing is known: the first offer; in the form 1.1 the mean of all offers, 1 KiB/s
    /// at least, where more than two peers take part.
    pub(super) fn market(&self, config: &Config, swarm: &SwarmView<'_>) -> u64 {
        let interested = swarm.peers().iter().filter(|peer| peer.peer_interested).count();
        let offers = || self.0.values().filter_map(|terms| terms.offer);
        let count = offers().count() as u128;
        if config.form == Form::Paper || interested <= 2 || count == 0 {
            return config.first_offer();
        }
        let mean = offers().map(u128::from).sum::<u128>() / count;
        u64::try_from(mean).unwrap_or(u64::MAX).max(1 << 10)
    }

    /// Learns from the round that ends. No offer grows beyond `capacity`.
    pub(super) fn close_round(
        &mut self,
        now: Instant,
        config: &Config,
        capacity: u64,
        swarm: &SwarmView<'_>,
    ) {
        let learn = |peer: &PeerFacts| {
            let mut terms = self.0.get(&peer.key).copied().unwrap_or_default();
            terms.learn(now, config, capacity, peer, swarm);
            (peer.key, terms)
        };
        self.0 = swarm.peers().iter().map(learn).collect();
    }
}

impl Terms {
    fn learn(
        &mut self,
        now: Instant,
        config: &Config,
        capacity: u64,
        peer: &PeerFacts,
        swarm: &SwarmView<'_>,
    ) {
        if !peer.peer_choking {
            (self.gives, self.known) = (peer.download_rate, true);
        } else if !self.known {
            self.gives = guess(now, peer, swarm.own().piece_length);
        }
        if std::mem::take(&mut self.offered) {
            let offer = self.offer.unwrap_or(config.first_offer());
            self.served = if peer.peer_choking { 0 } else { self.served.saturating_add(1) };
            let percent = |part: u32| u64::try_from(u128::from(offer) * u128::from(part) / 100);
            if peer.peer_choking {
                let more = percent(config.increase).unwrap_or(u64::MAX).max(u64::from(config.increase > 0));
                self.offer = Some(offer.saturating_add(more));
            } else if self.is_patient(now, config, peer) {
                self.offer = Some(offer.saturating_sub(percent(config.decrease).unwrap_or(0)));
            }
        } else {
            self.served = 0;
        }
        self.offer = self.offer.map(|offer| offer.clamp(1, capacity.max(1)));
    }

    /// Whether the peer has served us for so long that less may do.
    fn is_patient(&self, now: Instant, config: &Config, peer: &PeerFacts) -> bool {
        match config.form {
            Form::Paper => self.served >= config.patience,
            Form::Shipped => {
                let long = config.round.get().saturating_mul(config.patience);
                peer.peer_unchoked.is_some_and(|since| now - since >= long)
            }
        }
    }
}

/// What a peer that never served us would give: as fast as it downloads it probably uploads, to as many peers at a time
/// as clients serve at such a rate. The table, in KB/s, is that of BitTyrant 1.1.1.
fn guess(now: Instant, peer: &PeerFacts, piece_length: u32) -> u64 {
    const SERVED: [(u64, u64); 7] = [(11, 2), (35, 3), (80, 4), (200, 5), (350, 6), (600, 7), (900, 8)];
    let age = (now - peer.connected).max(Duration::from_secs(1));
    let bytes = u128::from(peer.haves) * u128::from(piece_length);
    let rate = u64::try_from(bytes * 1000 / age.as_millis()).unwrap_or(u64::MAX);
    let served = SERVED.iter().find(|&&(below, _)| rate >> 10 < below).map_or(9, |&(_, served)| served);
    rate / served
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guess_is_the_rate_of_news_over_those_that_are_served() {
        let address = "192.0.2.1:6881".parse().unwrap();
        let guess = |haves, secs: u64| {
            let mut peer = PeerFacts::new(PeerKey(1), address, true, Instant::from_secs(100), 1);
            peer.haves = haves;
            guess(Instant::from_secs(100 + secs), &peer, 1 << 18)
        };
        // Ten pieces of 256 KiB in 256 s are 10 KiB/s.
        assert_eq!(guess(10, 256), (10 << 10) / 2);
        assert_eq!(guess(11, 256), (11 << 10) / 3);
        assert_eq!(guess(899, 256), (899 << 10) / 8);
        assert_eq!(guess(900, 256), (900 << 10) / 9);
        assert_eq!((guess(0, 256), guess(1, 0)), (0, (256 << 10) / 6));
    }
}
