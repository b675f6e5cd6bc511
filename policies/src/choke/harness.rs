//! A client around one choker, for tests: it tells the policy what an engine would, carries out its answers,
//! and holds every round against what the trait promises.

use std::collections::BTreeSet;
use std::convert::Infallible;

use bt_api::rng::{self, Generator};
use bt_api::{
    Cause, ChokePolicy, Instant, Notice, OwnFacts, PeerEvent, PeerFacts, PeerKey, Reason, Rng, SwarmView,
    Unchoke, Unchokes,
};
use proptest::prelude::*;

/// One client; its peers are letters.
pub(crate) struct Client<P> {
    pub(crate) policy: P,
    pub(crate) own: OwnFacts,
    pub(crate) peers: Vec<PeerFacts>,
    pub(crate) now: Instant,
    /// What each round so far answered.
    pub(crate) log: Vec<Vec<Unchoke>>,
    rng: Generator,
}

impl<P: ChokePolicy> Client<P> {
    /// A client at the start of its run: a policy that wants a round at once gets it.
    pub(crate) fn new(policy: P, seed: u64) -> Self {
        let mut client = Self {
            policy,
            own: OwnFacts::default(),
            peers: Vec::new(),
            now: Instant::ZERO,
            log: Vec::new(),
            rng: rng::stream(seed, 0, "choke"),
        };
        if client.policy.next_round() <= client.now {
            client.round(Cause::Timer);
        }
        client
    }

    /// Connects a peer for each word: a letter, then `-` when it is not interested, `!` when it is interested
    /// and snubbed, or its rate in both directions when it is interested and not snubbed. `draw` maps the
    /// number of peers to the draw that the policy gets, and its bound.
    pub(crate) fn joined_by(&mut self, peers: &str, draw: impl Fn(usize) -> (u32, u32)) {
        for word in peers.split(' ') {
            let (letter, rest) = word.split_at(1);
            let letter = letter.chars().next().expect("a letter");
            self.connect_with(letter, draw(self.peers.len()));
            let rate = rest.parse::<u64>();
            let peer = self.peer(letter);
            peer.peer_interested = rest != "-";
            peer.snubbed = rate.is_err();
            (peer.download_rate, peer.upload_rate) = (rate.clone().unwrap_or(0), rate.unwrap_or(0));
        }
    }

    pub(crate) fn connect(&mut self, peer: char) {
        let key = self.insert(peer);
        self.event(PeerEvent::Connected(key));
    }

    /// Connects `peer` while the policy's next draw below `bound` is `draw`.
    pub(crate) fn connect_with(&mut self, peer: char, (draw, bound): (u32, u32)) {
        let key = self.insert(peer);
        let mut scripted = Scripted { draw, bound };
        let swarm = SwarmView::new(&self.own, &self.peers);
        if self.policy.notice(self.now, PeerEvent::Connected(key), &swarm, &mut scripted) == Notice::Rechoke {
            self.round(Cause::Event);
        }
    }

    fn insert(&mut self, peer: char) -> PeerKey {
        let address = "192.0.2.1:6881".parse().expect("an address");
        let facts = PeerFacts::new(PeerKey(u32::from(peer)), address, true, self.now, 1);
        let place = self.peers.partition_point(|one| one.key < facts.key);
        self.peers.insert(place, facts);
        PeerKey(u32::from(peer))
    }

    pub(crate) fn leave(&mut self, peer: char) {
        let place = self.peers.iter().position(|one| one.key.0 == u32::from(peer)).expect("connected");
        let gone = self.peers.remove(place);
        self.event(PeerEvent::Gone(&gone));
    }

    pub(crate) fn interest(&mut self, peer: char, interested: bool) {
        self.peer(peer).peer_interested = interested;
        let key = PeerKey(u32::from(peer));
        self.event(if interested { PeerEvent::Interested(key) } else { PeerEvent::NotInterested(key) });
    }

    pub(crate) fn snub(&mut self, peer: char) {
        self.peer(peer).snubbed = true;
        self.event(PeerEvent::Snubbed(PeerKey(u32::from(peer))));
    }

    pub(crate) fn event(&mut self, event: PeerEvent<'_>) {
        let swarm = SwarmView::new(&self.own, &self.peers);
        if self.policy.notice(self.now, event, &swarm, &mut self.rng) == Notice::Rechoke {
            self.round(Cause::Event);
        }
    }

    /// Lets time pass until the policy's next round, and runs it; one without a clock has none.
    pub(crate) fn tick(&mut self) {
        let next = self.policy.next_round();
        if next == Instant::NEVER {
            return;
        }
        assert!(next > self.now, "the round at {} is not in the future of {}", next, self.now);
        self.now = next;
        self.round(Cause::Timer);
    }

    /// A round now.
    pub(crate) fn round(&mut self, cause: Cause) {
        let mut unchokes = Unchokes::new();
        let swarm = SwarmView::new(&self.own, &self.peers);
        self.policy.choose(self.now, cause, &swarm, &mut self.rng, &mut unchokes);
        let served: BTreeSet<PeerKey> = unchokes.as_slice().iter().map(|one| one.peer).collect();
        assert_eq!(served.len(), unchokes.as_slice().len(), "a peer is served twice");
        let facts = served.iter().map(|&peer| swarm.peer(peer).expect("only connected peers are served"));
        let interested = facts.filter(|peer| peer.peer_interested).count();
        assert!(interested <= self.policy.max_interested(), "{interested} interested peers are served");
        for peer in &mut self.peers {
            let choke = !served.contains(&peer.key);
            if peer.am_choking && !choke {
                peer.am_unchoked = Some(self.now);
            }
            peer.am_choking = choke;
        }
        self.log.push(unchokes.as_slice().to_vec());
    }

    pub(crate) fn peer(&mut self, peer: char) -> &mut PeerFacts {
        self.peers.iter_mut().find(|one| one.key.0 == u32::from(peer)).expect("connected")
    }

    /// The peers that are served.
    pub(crate) fn unchoked(&self) -> String {
        letters(self.peers.iter().filter(|peer| !peer.am_choking).map(|peer| peer.key))
    }

    /// Those that the last round served for `reason`, by letter.
    pub(crate) fn unchoked_for(&self, reason: Reason) -> String {
        let last = self.log.last().expect("a round");
        let peers: BTreeSet<PeerKey> =
            last.iter().filter(|one| one.reason == reason).map(|one| one.peer).collect();
        letters(peers.into_iter())
    }
}

/// The letters of `peers`.
pub(crate) fn letters(peers: impl Iterator<Item = PeerKey>) -> String {
    peers.map(|peer| char::from_u32(peer.0).expect("a letter")).collect()
}

/// Something that happens: what, to which peer, with which rate.
pub(crate) type Op = (u8, char, u64);

/// Random histories of a dozen peers.
pub(crate) fn history() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec((0_u8..8, prop::char::range('a', 'l'), 0_u64..5), 0..150)
}

/// Plays `history` to `policy`.
pub(crate) fn play<P: ChokePolicy>(policy: P, seed: u64, history: &[Op]) -> Client<P> {
    let mut client = Client::new(policy, seed);
    for &(op, peer, rate) in history {
        let here = client.peers.iter().any(|one| one.key.0 == u32::from(peer));
        match op {
            _ if !here => client.connect(peer),
            0 => client.leave(peer),
            1..=3 => {
                let interested = client.peer(peer).peer_interested;
                client.interest(peer, !interested);
            }
            4 => {
                let facts = client.peer(peer);
                (facts.download_rate, facts.upload_rate, facts.snubbed) = (rate, 4 - rate, false);
                facts.downloaded += rate << 14;
                facts.uploaded += (4 - rate) << 14;
            }
            5 => client.snub(peer),
            6 if rate == 0 => {
                client.own.is_seed = true;
                client.event(PeerEvent::Completed);
            }
            _ => client.tick(),
        }
    }
    client
}

/// A generator whose draw below `bound` is `draw`.
struct Scripted {
    draw: u32,
    bound: u32,
}

impl Scripted {
    /// The middle of the values that [`rng::below`] maps to the draw.
    fn word(&self) -> u32 {
        (((u64::from(self.draw) * 2 + 1) << 31) / u64::from(self.bound)) as u32
    }
}

impl rand::TryRng for Scripted {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.word())
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(self.word()) << 32)
    }
    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        into.fill(0);
        Ok(())
    }
}

/// A scripted draw is only worth something while it comes out of [`rng::below`] as written.
#[test]
fn scripted_draws_come_out() {
    for bound in 1..50 {
        for draw in 0..bound {
            let mut scripted: Box<dyn Rng> = Box::new(Scripted { draw, bound });
            assert_eq!(rng::below(&mut *scripted, bound), draw);
        }
    }
}
