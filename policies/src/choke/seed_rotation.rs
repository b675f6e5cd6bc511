//! The choker of seeds since 3.9.1: the fastest takers, and everyone else in turn.
//!
//! The optimistic unchokes of 3.4.2 serve a seed's peers in turn as well, but a slot at a time and for one round in
//! three. Here a third of all slots, taken from the slowest, is given on to the next in the list every three rounds;
//! who was just unchoked keeps its slot for three rounds, long enough for a download to get up to speed, and so
//! does who waits for a block that the seed has not sent yet.
//!
//! Source: the rules `CH-16` to `CH-18`.

use std::cmp::Reverse;

use bt_api::{Instant, PeerKey, Reason, SwarmView, Unchokes};

/// What it remembers from round to round.
#[derive(Debug, Default)]
pub(super) struct SeedRotation {
    /// When the last three rounds by the clock were, the oldest first.
    ticks: [Instant; 3],
    /// Peers that rounds on events have begun to serve since the last round by the clock.
    unchoked: usize,
    /// Those that keep their slots, by rank, with their place in the list: kept only for its memory.
    kept: Vec<(Rank, usize)>,
}

/// Who keeps its slot, first to last: those of the first group by how lately they were unchoked, then by rate;
/// the others by rate.
type Rank = (bool, Reverse<Option<Instant>>, Reverse<u64>);

impl SeedRotation {
    /// A round by the clock begins.
    pub(super) fn tick(&mut self, now: Instant) {
        self.ticks = [self.ticks[1], self.ticks[2], now];
    }

    /// The peers to serve; `order` is the list. `round` counts rounds by the clock, and is `None` on an event.
    pub(super) fn choose(
        &mut self,
        round: Option<u32>,
        slots: usize,
        order: &mut [PeerKey],
        swarm: &SwarmView<'_>,
        unchokes: &mut Unchokes,
    ) {
        self.rank(order, swarm);
        let forced = self.forced(round, slots);
        self.kept.truncate(slots.saturating_sub(forced));
        let mut free = slots - self.kept.len();
        self.kept.sort_unstable_by_key(|&(_, place)| place);
        let mut kept = self.kept.iter().map(|&(_, place)| place).peekable();
        let mut last = None;
        for (place, &key) in order.iter().enumerate() {
            if kept.next_if_eq(&place).is_some() {
                unchokes.push(key, Reason::UPLOAD_RATE);
                continue;
            }
            // CH-18: a choked peer whose socket is still full of what it had before would gain nothing.
            let may = swarm
                .peer(key)
                .filter(|peer| free > 0 && peer.peer_interested && (!peer.am_choking || peer.unsent == 0));
            let Some(peer) = may else { continue };
            unchokes.push(key, Reason::OPTIMISTIC);
            self.unchoked += usize::from(peer.am_choking && round.is_none());
            free -= 1;
            last = Some(place);
        }
        if let Some(last) = last {
            let length = order.len();
            order.rotate_left((last + 1) % length);
        }
    }

    /// CH-16: how many slots are given on whoever has them.
    fn forced(&mut self, round: Option<u32>, slots: usize) -> usize {
        let Some(round) = round else { return 0 };
        let share = (slots.div_ceil(3) + round as usize % 3) / 3;
        share.saturating_sub(std::mem::take(&mut self.unchoked))
    }

    /// CH-17: leaves the interested peers that are served in `kept`, those who keep their slots first.
    fn rank(&mut self, order: &[PeerKey], swarm: &SwarmView<'_>) {
        self.kept.clear();
        for (place, &key) in order.iter().enumerate() {
            let served = swarm.peer(key).filter(|peer| peer.peer_interested && !peer.am_choking);
            let Some(peer) = served else { continue };
            let fresh = peer.am_unchoked >= Some(self.ticks[0]);
            let rank = if fresh || (peer.queued > 0 && peer.unsent == 0) {
                (false, Reverse(peer.am_unchoked), Reverse(peer.upload_rate))
            } else {
                (true, Reverse(None), Reverse(peer.upload_rate))
            };
            self.kept.push((rank, place));
        }
        self.kept.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use bt_api::PeerEvent;
    use proptest::prelude::*;

    use crate::choke::harness::{self, Client};
    use crate::choke::max_uploads::MaxUploads;
    use crate::choke::tit_for_tat::{Config, SeedRanking, TitForTat};

    fn policy(slots: usize) -> TitForTat {
        let max_uploads = MaxUploads::At(slots);
        let config =
            Config { max_uploads, min_uploads: 2, seed_ranking: SeedRanking::Rotate, ..Config::default() };
        TitForTat::new(config).unwrap()
    }

    /// A seed whose list is `peers`, before its first round.
    fn seed(slots: usize, peers: &str) -> Client<TitForTat> {
        let mut client = Client::new(policy(slots), 1);
        client.own.is_seed = true;
        client.joined_by(peers, |length| (length as u32, length as u32 + 1));
        client
    }

    fn order(client: &Client<TitForTat>) -> String {
        harness::letters(client.policy.order().iter().copied())
    }

    /// What is served after each of so many rounds by the clock.
    fn rounds(client: &mut Client<TitForTat>, count: usize) -> Vec<String> {
        let round = |_| {
            client.tick();
            client.unchoked()
        };
        (0..count).map(round).collect()
    }

    #[test]
    fn the_fastest_stay_and_the_others_are_served_in_turn() {
        let mut client = seed(3, "a9 b8 c- d1 e1 f1");
        let rounds = rounds(&mut client, 60);
        assert_eq!(rounds[0], "abd");
        let times = "abcdef".chars().map(|peer| rounds.iter().filter(|served| served.contains(peer)).count());
        // CH-16: of three slots one is given on in three rounds.
        assert_eq!(times.collect::<Vec<_>>(), [60, 60, 0, 19, 21, 20]);
    }

    #[test]
    fn the_list_begins_after_the_last_one_served() {
        let mut client = seed(2, "a1 b- c1 d1");
        assert_eq!(order(&client), "abcd");
        client.tick();
        assert_eq!((client.unchoked(), order(&client)), ("ac".into(), "dabc".into()));
    }

    #[test]
    fn a_new_peer_waits_for_its_turn_wherever_it_stands() {
        let mut client = seed(2, "a1 b1");
        client.tick();
        let before = client.log.len();
        // One of three places for two peers: the draw has no weight for the first place.
        client.connect_with('c', (1, 3));
        assert_eq!((client.log.len(), order(&client)), (before, "acb".into()));
        client.own.is_seed = false;
        client.connect('d');
        assert_eq!(client.log.len(), before + 1, "a leecher looks at new peers at once");
    }

    #[test]
    fn who_was_unchoked_lately_keeps_its_slot_then_the_fastest_do() {
        // Of six slots two are given on in three rounds (CH-16).
        let mut client = seed(6, "a50 b40 c30 d20 e10 f60 g1 h1 i1");
        let found = rounds(&mut client, 5);
        // All six are fresh in the second: the slowest goes, and the next in the list comes. Those of the first are
        // no longer fresh in the fourth, while g is; in the fifth it is h.
        assert_eq!(found, ["abcdef", "abcdfg", "abcdfg", "abcfgh", "abcfhi"]);
    }

    #[test]
    fn who_waits_for_a_block_keeps_its_slot() {
        let run = |queued, unsent| {
            let mut client = seed(3, "a9 b8 c7 d6 e5");
            rounds(&mut client, 3);
            let served = client.unchoked();
            // Whoever is slowest goes, once nobody is fresh any more.
            let slowest = served.chars().last().unwrap();
            let peer = client.peer(slowest);
            (peer.queued, peer.unsent) = (queued, unsent);
            rounds(&mut client, 2);
            client.unchoked().contains(slowest)
        };
        assert!(run(3, 0), "its socket is drained and requests wait");
        assert!(!run(0, 0));
    }

    #[test]
    fn a_full_socket_is_given_no_slot() {
        let mut client = seed(1, "a1 b1 c1");
        client.peer('a').unsent = 1;
        client.tick();
        assert_eq!(client.unchoked(), "b");
    }

    #[test]
    fn an_event_gives_on_what_fell_free_and_the_clock_gives_on_less_then() {
        let mut client = seed(9, "a1 b1 c1 d1 e1 f1 g1 h1 i1 j1 k1 l1");
        // CH-16: of nine slots, one in each round.
        assert_eq!(rounds(&mut client, 2), ["abcdefghi", "abcdefghj"]);
        client.leave('a');
        assert_eq!(client.unchoked(), "bcdefghjk");
        client.tick();
        assert_eq!(client.unchoked(), "bcdefghjk", "one was given on already");
        client.tick();
        assert_eq!(client.unchoked(), "bcdefgjkl");
    }

    #[test]
    fn uninterested_peers_are_choked() {
        let mut client = seed(3, "a1 b1");
        client.tick();
        client.interest('a', false);
        assert_eq!(client.unchoked(), "b");
    }

    #[test]
    fn leechers_keep_the_rules_of_3_4_2() {
        let mut client = seed(2, "a1 b9 c5");
        client.own.is_seed = false;
        client.tick();
        assert_eq!(client.unchoked(), "ab");
        client.own.is_seed = true;
        client.event(PeerEvent::Completed);
        client.tick();
        assert_eq!(client.unchoked().len(), 2);
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises(
            slots in 0_usize..6, seed in any::<u64>(), ops in harness::history(),
        ) {
            let mut client = harness::play(policy(slots), seed, &ops);
            prop_assert_eq!(&client.log, &harness::play(policy(slots), seed, &ops).log);
            client.own.is_seed = true;
            client.tick();
            let interested = client.peers.iter().filter(|peer| peer.peer_interested).count();
            prop_assert_eq!(client.unchoked().len(), interested.min(slots));
        }
    }
}
