//! The choker of BitTorrent 3.4.2: serve those who serve us, and one more in turn.
//!
//! It keeps the connections in a list of its own. The *preferred* are the few fastest; the rest of the list
//! is walked from its front, and the first interested peers found there are served too, so the front of the
//! list is the optimistic unchoke. Every third round the list is rotated to bring the next choked peer to the
//! front. Peers that are not interested and stand before the last one served are unchoked as well: it costs
//! nothing, and they can begin at once when they want to.
//!
//! Source: the rules `CH-1` to `CH-13` of the original; the protocol is BEP 3.

use std::cmp::Reverse;

use bt_api::config;
use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerKey, Reason, Rng, Serve, SwarmView, Unchokes,
    Waiting, rng,
};
use serde::{Deserialize, Serialize};

/// Serves the peers that serve us fastest, and others in turn.
#[derive(Debug)]
pub struct TitForTat {
    config: Config,
    /// When the next round is due; `None` until the first call tells the time.
    next_round: Option<Instant>,
    /// Rounds by the clock so far (CH-1).
    rounds: u32,
    /// The connections; the first is the optimistic unchoke (CH-1).
    order: Vec<PeerKey>,
    /// Candidates of the running round, by rate and place: kept only for its memory.
    candidates: Vec<(Reverse<u64>, usize)>,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// One more than the peers served for their rate; 0 and 1 leave the optimistic ones alone.
    pub max_uploads: usize,
    /// Interested peers served at least, while there are so many.
    pub min_uploads: usize,
    /// How long a round lasts.
    pub round: config::Duration,
    /// The list is rotated every so many rounds.
    pub optimistic_rounds: u32,
    /// How many times likelier than any other place the first one is for a new peer.
    pub new_peer_weight: u32,
    /// Peers that give less are not served for their rate; BitTornado had 1000 B/s. Unused as a seed.
    pub min_preferred_rate: config::Rate,
    /// What a seed ranks peers by.
    pub seed_ranking: SeedRanking,
}

/// What a seed ranks peers by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SeedRanking {
    /// Our rate to them.
    #[default]
    UploadRate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_uploads: 7,
            min_uploads: 4,
            round: config::Duration::secs(10),
            optimistic_rounds: 3,
            new_peer_weight: 3,
            min_preferred_rate: config::Rate(0),
            seed_ranking: SeedRanking::UploadRate,
        }
    }
}

impl Plugin for TitForTat {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "tit-for-tat";
    const SUMMARY: &'static str =
        "serves the peers that serve us fastest, and others in turn (BitTorrent 3.4.2)";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(TitForTat);

impl TitForTat {
    /// A choker without connections.
    ///
    /// # Errors
    /// When `round`, `optimistic-rounds` or `new-peer-weight` is 0.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.round == config::Duration::secs(0) {
            return Err(BuildError::new("round", "must be longer than 0 s"));
        }
        if config.optimistic_rounds == 0 {
            return Err(BuildError::new("optimistic-rounds", "must be at least 1"));
        }
        if config.new_peer_weight == 0 {
            return Err(BuildError::new("new-peer-weight", "must be at least 1"));
        }
        Ok(Self { config, next_round: None, rounds: 0, order: Vec::new(), candidates: Vec::new() })
    }

    /// Starts the clock at the first call: the first round is due one round later.
    fn start_clock(&mut self, now: Instant) {
        self.next_round.get_or_insert(now + self.config.round.get());
    }

    /// CH-9: the place is max(p, 0) for a p from 1 − weight to the end of the list.
    fn insert(&mut self, peer: PeerKey, rng: &mut dyn Rng) {
        let end = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
        let weight = self.config.new_peer_weight;
        let place = rng::below(rng, end.saturating_add(weight)).saturating_sub(weight - 1);
        self.order.insert(place as usize, peer);
    }

    /// CH-2: brings the first choked interested peer to the front, cyclic order kept.
    fn rotate(&mut self, swarm: &SwarmView<'_>) {
        let waits = |&peer: &PeerKey| swarm.peer(peer).is_some_and(|it| it.am_choking && it.peer_interested);
        if let Some(place) = self.order.iter().position(waits) {
            self.order.rotate_left(place);
        }
    }

    /// Leaves the preferred in `candidates` (CH-3 to CH-5), by their place in the list.
    fn find_preferred(&mut self, swarm: &SwarmView<'_>) {
        let seed = swarm.own().is_seed;
        let least = self.config.min_preferred_rate.0;
        self.candidates.clear();
        for (place, &peer) in self.order.iter().enumerate() {
            let Some(peer) = swarm.peer(peer).filter(|peer| peer.peer_interested) else { continue };
            if seed {
                let SeedRanking::UploadRate = self.config.seed_ranking;
                self.candidates.push((Reverse(peer.upload_rate), place));
            } else if !peer.snubbed && peer.download_rate >= least {
                self.candidates.push((Reverse(peer.download_rate), place));
            }
        }
        let preferred = self.config.max_uploads.saturating_sub(1);
        if preferred < self.candidates.len() {
            // Equal rates are told apart by place, so the fastest are the same ones in any order.
            self.candidates.select_nth_unstable(preferred);
            self.candidates.truncate(preferred);
        }
        self.candidates.sort_unstable_by_key(|&(_, place)| place);
    }
}

impl ChokePolicy for TitForTat {
    fn next_round(&self) -> Instant {
        self.next_round.unwrap_or(Instant::ZERO)
    }

    /// Besides the max-uploads − 1 preferred, interested peers are unchoked until there are min-uploads, and
    /// at least one (CH-7).
    fn max_interested(&self) -> usize {
        self.config.max_uploads.max(self.config.min_uploads).max(1)
    }

    fn notice(
        &mut self,
        now: Instant,
        event: PeerEvent<'_>,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
    ) -> Notice {
        self.start_clock(now);
        let rechoke = match event {
            PeerEvent::Connected(peer) => {
                self.insert(peer, rng);
                true
            }
            // CH-10.
            PeerEvent::Gone(peer) => {
                self.order.retain(|&one| one != peer.key);
                peer.peer_interested && !peer.am_choking
            }
            // CH-11: a choked peer waits for the clock.
            PeerEvent::Interested(peer) | PeerEvent::NotInterested(peer) => {
                swarm.peer(peer).is_some_and(|peer| !peer.am_choking)
            }
            _ => false,
        };
        if rechoke { Notice::Rechoke } else { Notice::Nothing }
    }

    fn choose(
        &mut self,
        now: Instant,
        cause: Cause,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        if cause == Cause::Timer && self.next_round.is_some() {
            self.next_round = Some(now + self.config.round.get());
            self.rounds = self.rounds.wrapping_add(1);
            if self.rounds.is_multiple_of(self.config.optimistic_rounds) {
                self.rotate(swarm);
            }
        }
        self.start_clock(now);
        self.find_preferred(swarm);
        let for_rate = if swarm.own().is_seed { Reason::UPLOAD_RATE } else { Reason::DOWNLOAD_RATE };
        // CH-6.
        let mut count = self.candidates.len();
        let mut hit = false;
        let mut preferred = self.candidates.iter().map(|&(_, place)| place).peekable();
        for (place, &key) in self.order.iter().enumerate() {
            if preferred.next_if_eq(&place).is_some() {
                unchokes.push(key, for_rate);
            } else if count < self.config.min_uploads || !hit {
                let Some(peer) = swarm.peer(key) else { continue };
                if peer.peer_interested {
                    unchokes.push(key, Reason::OPTIMISTIC);
                    count += 1;
                    hit = true;
                } else {
                    unchokes.push(key, Reason::UNINTERESTED);
                }
            } else if preferred.peek().is_none() {
                break;
            }
        }
    }

    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        Serve::ByShare
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::choke::harness::{self, Client};

    fn policy(max_uploads: usize, min_uploads: usize) -> TitForTat {
        TitForTat::new(Config { max_uploads, min_uploads, ..Config::default() }).unwrap()
    }

    /// A client whose list is `peers` (see [`Client::joined_by`]), after one round.
    fn client(max_uploads: usize, min_uploads: usize, peers: &str) -> Client<TitForTat> {
        let mut client = Client::new(policy(max_uploads, min_uploads), 1);
        client.joined_by(peers, insert_last);
        client.tick();
        client
    }

    /// The draw that puts a new peer at the end of a list of `length`.
    fn insert_last(length: usize) -> (u32, u32) {
        insert_at(length as u32, length)
    }

    /// The draw, and its bound, that puts a new peer at `place` of a list of `length` (CH-9).
    fn insert_at(place: u32, length: usize) -> (u32, u32) {
        let weight = Config::default().new_peer_weight;
        (place + weight - 1, length as u32 + weight)
    }

    fn order(client: &Client<TitForTat>) -> String {
        harness::letters(client.policy.order.iter().copied())
    }

    #[test]
    fn case_65_the_six_fastest_and_the_first_are_served() {
        let client = client(7, 4, "a! b50 c- d40 e30 f20 g10 h5 i4 j3");
        assert_eq!(client.unchoked(), "abdefgh");
        assert_eq!(client.unchoked_for(Reason::OPTIMISTIC), "a");
        assert_eq!(client.unchoked_for(Reason::DOWNLOAD_RATE), "bdefgh");
    }

    #[test]
    fn case_66_without_candidates_min_uploads_are_served_from_the_front() {
        let client = client(7, 4, "a- b! c- d! e! f! g- h!");
        assert_eq!(client.unchoked(), "abcdef");
        assert_eq!(client.unchoked_for(Reason::UNINTERESTED), "ac");
    }

    #[test]
    fn case_67_one_preferred_and_one_in_turn() {
        assert_eq!(client(2, 2, "a- b9 c5 d1").unchoked(), "abc");
    }

    #[test]
    fn case_68_with_one_upload_or_none_nobody_is_preferred() {
        for max_uploads in [0, 1] {
            assert_eq!(client(max_uploads, 1, "a5 b9 c3").unchoked(), "a");
            assert_eq!(client(max_uploads, 0, "a5 b9 c3").unchoked(), "a");
            let four = client(max_uploads, 4, "a5 b4 c3 d2 e9");
            assert_eq!(four.unchoked_for(Reason::OPTIMISTIC), "abcd");
            assert_eq!(four.unchoked(), "abcd");
        }
    }

    #[test]
    fn case_69_every_third_round_a_choked_interested_peer_comes_first() {
        let mut client = client(1, 1, "a1 b- c- d- e1");
        client.tick();
        assert_eq!((order(&client), client.unchoked()), ("abcde".into(), "a".into()));
        client.tick();
        assert_eq!(client.now, Instant::from_secs(30));
        assert_eq!((order(&client), client.unchoked()), ("eabcd".into(), "e".into()));
    }

    #[test]
    fn case_70_rotation_keeps_the_cyclic_order() {
        let mut some = client(1, 1, "a1 b- c- d1 e- f1");
        (0..2).for_each(|_| some.tick());
        assert_eq!(order(&some), "defabc");
        let mut none = client(1, 1, "a- b1 c-");
        (0..5).for_each(|_| none.tick());
        assert_eq!(order(&none), "abc");
    }

    #[test]
    fn case_71_only_the_interest_of_an_unchoked_peer_counts_at_once() {
        let mut client = client(1, 1, "a- b1 c-");
        let rounds = client.log.len();
        client.interest('c', true);
        assert_eq!((client.log.len(), client.unchoked()), (rounds, "ab".into()));
        client.interest('a', true);
        assert_eq!((client.log.len(), client.unchoked()), (rounds + 1, "a".into()));
        client.interest('a', false);
        assert_eq!((client.log.len(), client.unchoked()), (rounds + 2, "ab".into()));
    }

    #[test]
    fn case_72_the_slot_of_a_lost_peer_is_given_on_at_once() {
        let mut client = client(2, 2, "a1 b9 c5 d4");
        assert_eq!(client.unchoked(), "ab");
        let rounds = client.log.len();
        client.leave('d');
        assert_eq!(client.log.len(), rounds);
        client.leave('b');
        assert_eq!((client.log.len(), client.unchoked()), (rounds + 1, "ac".into()));
    }

    #[test]
    fn case_73_a_new_peer_is_three_times_likelier_to_be_first() {
        let mut client = Client::new(policy(7, 4), 1);
        let mut places = [0; 3];
        for _ in 0..5000 {
            client.connect('a');
            client.connect('b');
            places[usize::from(order(&client) == "ab")] += 1;
            client.connect('c');
            places[2] += u32::from(order(&client).ends_with('c'));
            "abc".chars().for_each(|peer| client.leave(peer));
        }
        assert!((3600..3900).contains(&places[0]), "{places:?} of 3750");
        assert!((900..1100).contains(&places[2]), "{places:?} of 1000");
        // The draw itself, as a recording gives it.
        client.connect_with('a', insert_at(0, 0));
        client.connect_with('b', insert_at(1, 1));
        client.connect_with('c', insert_at(1, 2));
        client.connect_with('d', (0, 6));
        assert_eq!(order(&client), "dacb");
    }

    #[test]
    fn case_74_a_snubbed_peer_is_not_preferred_except_by_a_seed() {
        let mut client = client(2, 1, "a1 b9 c5 d4");
        assert_eq!(client.unchoked(), "ab");
        client.snub('b');
        assert_eq!(client.unchoked(), "ab");
        client.tick();
        assert_eq!(client.unchoked(), "ac");
        client.own.is_seed = true;
        client.event(PeerEvent::Completed);
        assert_eq!(client.unchoked(), "ac");
        client.policy.rounds = 0;
        client.tick();
        assert_eq!(client.unchoked(), "ab");
    }

    #[test]
    fn case_75_a_seed_ranks_by_upload() {
        let mut client = client(2, 1, "a1 b9 c5");
        client.peer('c').upload_rate = 20;
        client.own.is_seed = true;
        client.tick();
        assert_eq!(client.unchoked(), "ac");
        assert_eq!(client.unchoked_for(Reason::UPLOAD_RATE), "c");
    }

    #[test]
    fn case_76_a_round_without_a_change_answers_the_same() {
        let mut client = client(3, 2, "a1 b9 c5 d7 e-");
        client.tick();
        let [.., one, other] = &client.log[..] else { panic!("two rounds") };
        assert_eq!(one, other);
    }

    #[test]
    fn equal_rates_are_told_apart_by_place() {
        assert_eq!(client(3, 1, "a- b! c5 d5 e5").unchoked(), "abcd");
    }

    #[test]
    fn peers_below_the_least_rate_are_not_preferred_except_by_a_seed() {
        let config = Config { min_preferred_rate: config::Rate(1000), ..policy(3, 1).config };
        let mut client = Client::new(TitForTat::new(config).unwrap(), 1);
        client.joined_by("a1 b999 c1000", insert_last);
        client.tick();
        assert_eq!(client.unchoked(), "ac");
        client.own.is_seed = true;
        client.tick();
        assert_eq!(client.unchoked(), "abc");
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        let defaults = Config::default();
        for wrong in [
            Config { round: config::Duration::secs(0), ..defaults.clone() },
            Config { optimistic_rounds: 0, ..defaults.clone() },
            Config { new_peer_weight: 0, ..defaults },
        ] {
            assert!(TitForTat::new(wrong.clone()).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        /// CH-7, and what the harness checks of every round.
        #[test]
        fn any_history_keeps_the_promises(
            max_uploads in 0_usize..6, min_uploads in 0_usize..6, seed in any::<u64>(),
            ops in harness::history(),
        ) {
            let mut client = harness::play(policy(max_uploads, min_uploads), seed, &ops);
            let again = harness::play(policy(max_uploads, min_uploads), seed, &ops);
            prop_assert_eq!(&client.log, &again.log);
            client.tick();
            let interested = client.peers.iter().filter(|peer| peer.peer_interested).count();
            let served =
                client.peers.iter().filter(|peer| peer.peer_interested && !peer.am_choking).count();
            let for_rate = [Reason::DOWNLOAD_RATE, Reason::UPLOAD_RATE];
            let last = client.log.last().unwrap().iter();
            let preferred = last.filter(|unchoke| for_rate.contains(&unchoke.reason)).count();
            let most = (preferred + 1).max(min_uploads);
            prop_assert_eq!(served, interested.min(most));
            if let Some(&first) = client.policy.order.first() {
                prop_assert!(!client.peers.iter().find(|peer| peer.key == first).unwrap().am_choking);
            }
        }
    }
}
