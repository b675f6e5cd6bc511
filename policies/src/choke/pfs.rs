//! Proportional fair seeding: a seed serves the piece that is most asked for of what it was served so far.
//!
//! A seed serves all leechers and looks at what they ask for. When more than a few requests wait, or the first of them
//! has waited for a second, it serves a few: each time a block of the piece p with the largest r/θ, where r is how many
//! requests for blocks of p wait and θ the share of its upload that p has had. A piece that few have is asked of
//! the seed by many, and soon has copies elsewhere; one that the swarm can give by itself is left to it.
//!
//! The papers' client had no way to choose single blocks: it unchoked everyone to collect requests, then choked all but
//! those whose pieces won. Here the engine asks for each block, so that everyone stays unchoked and the losers' requests
//! wait. With `alpha` = 0 θ is the plain share of all that was served; else old blocks count for less: θ is the moving
//! average that gives the last block the weight alpha. Of the requests for the winning piece goes first the one of the
//! peer that we have sent least (ours; the papers leave it open). Until it is a seed the client is one of 3.4.2
//! (`[choke.leech]`), as in the papers.
//!
//! Source: Michiardi, Ramachandran and Sikdar, "Modeling seed scheduling strategies in BitTorrent", NETWORKING 2007;
//! Esposito, Matta, Michiardi, Mitsutake and Carra, "Seed scheduling for peer-to-peer networks", NCA 2009.

use std::collections::BTreeMap;

use bt_api::config;
use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{
    BlockRef, Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerKey, PieceIndex, Reason, Rng, Serve,
    SwarmView, Unchokes, Waiting,
};
use serde::{Deserialize, Serialize};

use super::tit_for_tat::{self, TitForTat};

/// Leeches as 3.4.2; as a seed serves the piece most asked for of what it was served.
#[derive(Debug)]
pub struct Pfs {
    config: Config,
    leech: TitForTat,
    seeding: bool,
    /// When the requests that are being collected are served at the latest.
    deadline: Option<Instant>,
    /// Blocks that may still be served before requests are collected again.
    left: usize,
    served: Served,
}

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// As soon as more requests than this wait, so many are served.
    pub batch: usize,
    /// The longest that requests are collected.
    pub collect: config::Duration,
    /// How much of a piece's share the last block makes: 0 for all blocks alike, less than 1.
    pub alpha: f64,
    /// Who is served until we are a seed: the keys of `tit-for-tat`.
    pub leech: tit_for_tat::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch: 4,
            collect: config::Duration::secs(1),
            alpha: 0.0,
            leech: tit_for_tat::Config::default(),
        }
    }
}

impl Plugin for Pfs {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "pfs";
    const SUMMARY: &'static str = "as a seed, serves the piece most asked for of what it was served (proportional fair); leeches as 3.4.2";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Self::new(config).map(|policy| Box::new(policy) as Box<dyn ChokePolicy>)
    }
}
bt_api::register!(Pfs);

impl Pfs {
    /// A choker without connections.
    ///
    /// # Errors
    /// When `batch` is 0, `alpha` not in 0 to below 1, or a key of `leech` is wrong.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        if config.batch == 0 {
            return Err(BuildError::new("batch", "must be at least 1"));
        }
        if !(0.0..1.0).contains(&config.alpha) {
            return Err(BuildError::new("alpha", "must be at least 0 and less than 1"));
        }
        let leech = TitForTat::new(config.leech.clone())?;
        let served = Served::new(config.alpha);
        Ok(Self { config, leech, seeding: false, deadline: None, left: 0, served })
    }

    fn best(&self, waiting: &Waiting<'_>, swarm: &SwarmView<'_>) -> Option<(PeerKey, BlockRef)> {
        let mut wanted: BTreeMap<PieceIndex, (u32, u64, PeerKey, BlockRef)> = BTreeMap::new();
        for queue in waiting.iter() {
            let sent = swarm.peer(queue.peer).map_or(0, |peer| peer.uploaded);
            for &block in &queue.requests {
                let piece = wanted.entry(block.piece).or_insert((0, sent, queue.peer, block));
                piece.0 += 1;
                if sent < piece.1 {
                    (piece.1, piece.2, piece.3) = (sent, queue.peer, block);
                }
            }
        }
        let mut best: Option<(f64, f64, PeerKey, BlockRef)> = None;
        for (piece, (requests, _, peer, block)) in wanted {
            let (requests, share) = (f64::from(requests), self.served.of(piece));
            // r/θ compared as products: of two pieces that were never served, the one more asked for wins.
            let wins = best.is_none_or(|(most, least, ..)| {
                let (this, other) = (requests * least, most * share);
                this > other || (this == other && share <= least && requests > most)
            });
            if wins {
                best = Some((requests, share, peer, block));
            }
        }
        best.map(|(.., peer, block)| (peer, block))
    }
}

impl ChokePolicy for Pfs {
    fn next_round(&self) -> Instant {
        match self.deadline {
            _ if !self.seeding => self.leech.next_round(),
            deadline => deadline.unwrap_or(Instant::NEVER),
        }
    }

    fn max_interested(&self) -> usize {
        if self.seeding { usize::MAX } else { self.leech.max_interested() }
    }

    fn notice(
        &mut self,
        now: Instant,
        event: PeerEvent<'_>,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
    ) -> Notice {
        let leech = self.leech.notice(now, event, swarm, rng);
        match event {
            _ if !swarm.own().is_seed => leech,
            PeerEvent::Connected(_) | PeerEvent::Completed => Notice::Rechoke,
            _ => Notice::Nothing,
        }
    }

    fn choose(
        &mut self,
        now: Instant,
        cause: Cause,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        self.seeding = swarm.own().is_seed;
        if !self.seeding {
            self.deadline = None;
            return self.leech.choose(now, cause, swarm, rng, unchokes);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.left = self.config.batch;
        }
        let leechers = swarm.peers().iter().filter(|peer| !peer.is_seed());
        leechers.for_each(|peer| unchokes.push(peer.key, Reason::EVERYONE));
    }

    fn serve(
        &mut self,
        now: Instant,
        waiting: &Waiting<'_>,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
    ) -> Serve {
        if !self.seeding {
            return Serve::ByShare;
        }
        if self.left == 0 {
            let deadline = *self.deadline.get_or_insert(now + self.config.collect.get());
            let requests: usize = swarm.peers().iter().map(|peer| peer.queued as usize).sum();
            if requests <= self.config.batch && now < deadline {
                return Serve::Nobody;
            }
            self.deadline = None;
            self.left = self.config.batch;
        }
        let Some((peer, block)) = self.best(waiting, swarm) else { return Serve::Nobody };
        self.left -= 1;
        self.served.count(block.piece);
        Serve::Block(peer, block)
    }
}

/// How much each piece was served, up to a factor that is the same for all.
#[derive(Debug)]
struct Served {
    /// What the next block counts, and by how much more each block counts than the one before: that old blocks fade is
    /// the same as that new ones grow.
    weight: f64,
    growth: f64,
    pieces: BTreeMap<PieceIndex, f64>,
}

impl Served {
    /// The weight at which everything is scaled down, far from where an `f64` ends.
    const LARGEST: f64 = 1e100;

    fn new(alpha: f64) -> Self {
        Self { weight: 1.0, growth: 1.0 / (1.0 - alpha), pieces: BTreeMap::new() }
    }

    fn of(&self, piece: PieceIndex) -> f64 {
        self.pieces.get(&piece).copied().unwrap_or(0.0)
    }

    fn count(&mut self, piece: PieceIndex) {
        *self.pieces.entry(piece).or_insert(0.0) += self.weight;
        self.weight *= self.growth;
        if self.weight > Self::LARGEST {
            self.pieces.values_mut().for_each(|share| *share /= self.weight);
            self.weight = 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bt_api::RequestQueue;
    use bt_api::rng;
    use proptest::prelude::*;

    use super::*;
    use crate::choke::harness::{self, Client};

    /// The draw that puts a new peer at the end of the list of 3.4.2.
    fn insert_last(length: usize) -> (u32, u32) {
        (length as u32 + 2, length as u32 + 3)
    }

    fn seed(config: Config, peers: &str) -> Client<Pfs> {
        let mut client = Client::new(Pfs::new(config).unwrap(), 1);
        client.joined_by(peers, insert_last);
        client.own.is_seed = true;
        client.event(PeerEvent::Completed);
        client
    }

    /// Each word is a peer and the pieces of the blocks that it waits for, a digit each.
    fn ask(client: &mut Client<Pfs>, words: &str) -> Option<(char, u32)> {
        let queues: Vec<RequestQueue> = words
            .split(' ')
            .map(|word| {
                let (peer, pieces) = word.split_at(1);
                let block = |(digit, begin): (char, u32)| BlockRef {
                    piece: PieceIndex(digit.to_digit(10).unwrap()),
                    begin: begin << 14,
                    length: 1 << 14,
                };
                let requests = pieces.chars().zip(0..).map(block).collect();
                RequestQueue { peer: PeerKey(u32::from(peer.chars().next().unwrap())), ready: true, requests }
            })
            .collect();
        for queue in &queues {
            client.peer(char::from_u32(queue.peer.0).unwrap()).queued = queue.requests.len() as u32;
        }
        let swarm = SwarmView::new(&client.own, &client.peers);
        let mut rng = rng::stream(1, 0, "test");
        match client.policy.serve(client.now, &Waiting::new(&queues), &swarm, &mut rng) {
            Serve::Block(peer, block) => {
                let queue = queues.iter().find(|queue| queue.peer == peer).unwrap();
                assert!(queue.requests.contains(&block));
                Some((char::from_u32(peer.0).unwrap(), block.piece.0))
            }
            Serve::Nobody => None,
            other => panic!("{other:?}"),
        }
    }

    /// How often each of three pieces is served while the same requests wait all the time.
    fn shares(config: Config, words: &str) -> [u32; 3] {
        let mut client = seed(config, "a1 b1 c1");
        let mut found = [0; 3];
        for _ in 0..6000 {
            let (_, piece) = ask(&mut client, words).expect("many wait");
            found[piece as usize] += 1;
        }
        found
    }

    #[test]
    fn pieces_are_served_in_proportion_to_what_is_asked_for() {
        let near = |found: [u32; 3], expected: [u32; 3]| {
            let off = found.iter().zip(expected).map(|(&one, other)| one.abs_diff(other)).max();
            assert!(off <= Some(60), "{found:?}");
        };
        for alpha in [0.0, 0.001] {
            let config = Config { alpha, ..Config::default() };
            near(shares(config.clone(), "a001 b001 c02"), [3750, 1500, 750]);
            near(shares(config, "a012 b012 c012"), [2000, 2000, 2000]);
        }
    }

    #[test]
    fn with_alpha_what_was_served_long_ago_is_forgotten() {
        let after = |alpha| {
            let mut client = seed(Config { alpha, ..Config::default() }, "a1 b1");
            (0..400).for_each(|_| assert!(ask(&mut client, "a000 b000").is_some()));
            // Piece 1 is new: how many blocks of it are served before the first of piece 0?
            (0..).take_while(|_| ask(&mut client, "a000 b111").map(|found| found.1) == Some(1)).count()
        };
        assert_eq!(after(0.0), 400, "until it has caught up");
        assert!(after(0.1) < 10, "{}", after(0.1));
    }

    #[test]
    fn requests_are_collected_until_more_than_four_wait_or_a_second_has_passed() {
        let mut client = seed(Config::default(), "a1 b1");
        assert_eq!(ask(&mut client, "a12 b11"), None);
        assert_eq!(client.policy.next_round(), client.now + Duration::from_secs(1));
        // The piece more asked for, and of the peers the one that got less.
        client.peer('a').uploaded = 1;
        assert_eq!(ask(&mut client, "a12 b111"), Some(('b', 1)));
        assert_eq!(ask(&mut client, "a12 b1"), Some(('a', 2)), "four are served");
        assert!(ask(&mut client, "a1").is_some() && ask(&mut client, "a1").is_some());
        assert_eq!(ask(&mut client, "a1"), None);
        client.tick();
        assert_eq!(ask(&mut client, "a1"), Some(('a', 1)), "the second has passed");
        assert_eq!(client.policy.next_round(), Instant::NEVER);
    }

    #[test]
    fn a_seed_serves_all_leechers_and_a_leecher_those_of_3_4_2() {
        let mut client = Client::new(Pfs::new(Config::default()).unwrap(), 1);
        client.joined_by("a9 b8 c7 d6 e5 f4 g3 h2 i1 j-", insert_last);
        client.tick();
        assert_eq!(client.unchoked().len(), 7);
        client.own.is_seed = true;
        client.event(PeerEvent::Completed);
        assert_eq!(client.unchoked(), "abcdefghij");
        client.connect('k');
        assert_eq!(client.unchoked(), "abcdefghijk");
        client.own.is_seed = false;
        client.round(Cause::Event);
        assert!(client.unchoked_for(Reason::EVERYONE).is_empty());
    }

    #[test]
    fn bad_values_are_told() {
        for alpha in [-0.1, 1.0, f64::NAN] {
            assert!(Pfs::new(Config { alpha, ..Config::default() }).is_err());
        }
        assert!(Pfs::new(Config { batch: 0, ..Config::default() }).is_err());
        let leech = tit_for_tat::Config { optimistic_rounds: 0, ..tit_for_tat::Config::default() };
        assert!(Pfs::new(Config { leech, ..Config::default() }).is_err());
    }

    proptest! {
        #[test]
        fn any_history_keeps_the_promises(seed in any::<u64>(), ops in harness::history()) {
            let policy = || Pfs::new(Config::default()).unwrap();
            let client = harness::play(policy(), seed, &ops);
            prop_assert_eq!(&client.log, &harness::play(policy(), seed, &ops).log);
        }
    }
}
