//! The kit's client around one choker, in the notation of these tests: peers are letters, their state is a word.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::{Deref, DerefMut};

use bt_api::testkit::choke;
use bt_api::{Cause, ChokePolicy, PeerEvent, PeerFacts, PeerKey, Reason, Rng, rng};
use proptest::prelude::*;

pub(crate) mod exchange;

/// One client; its peers are letters.
pub(crate) struct Client<P>(choke::Client<P>);

impl<P> Deref for Client<P> {
    type Target = choke::Client<P>;
    fn deref(&self) -> &choke::Client<P> {
        &self.0
    }
}

impl<P> DerefMut for Client<P> {
    fn deref_mut(&mut self) -> &mut choke::Client<P> {
        &mut self.0
    }
}

impl<P: ChokePolicy> Client<P> {
    /// A client at the start of its run: a policy that wants a round at once gets it.
    pub(crate) fn new(policy: P, seed: u64) -> Self {
        Self(choke::Client::new(policy, seed))
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
        self.0.connect(key(peer));
        self.check();
    }

    /// Connects `peer` while the policy's next draw below `bound` is `draw`.
    pub(crate) fn connect_with(&mut self, peer: char, (draw, bound): (u32, u32)) {
        self.0.connect_with(key(peer), &mut Scripted { draw, bound });
        self.check();
    }

    pub(crate) fn leave(&mut self, peer: char) {
        self.0.leave(key(peer));
        self.check();
    }

    pub(crate) fn interest(&mut self, peer: char, interested: bool) {
        self.0.interest(key(peer), interested);
        self.check();
    }

    pub(crate) fn snub(&mut self, peer: char) {
        self.0.snub(key(peer));
        self.check();
    }

    pub(crate) fn event(&mut self, event: PeerEvent<'_>) {
        self.0.event(event);
        self.check();
    }

    /// Lets time pass until the policy's next round, and runs it; one without a clock has none.
    pub(crate) fn tick(&mut self) {
        self.0.tick();
        self.check();
    }

    /// A round now.
    pub(crate) fn round(&mut self, cause: Cause) {
        self.0.round(cause);
        self.check();
    }

    /// The trait lets a policy name a peer twice; ours do not.
    fn check(&self) {
        let Some(last) = self.log.last() else { return };
        let served: BTreeSet<PeerKey> = last.iter().map(|one| one.peer).collect();
        assert_eq!(served.len(), last.len(), "a peer is served twice");
    }

    pub(crate) fn peer(&mut self, peer: char) -> &mut PeerFacts {
        self.0.peer(key(peer))
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

fn key(peer: char) -> PeerKey {
    PeerKey(u32::from(peer))
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
