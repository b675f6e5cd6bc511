//! Random histories of a choker: what ten thousand runs may bring, and what the policy answers.

use std::collections::VecDeque;
use std::time::Duration;

use super::Subject;
use super::client::{Answer, Client};
use crate::block::{BlockRef, PieceIndex};
use crate::choke::{ChokePolicy, PeerEvent, RequestQueue, Unchoke};
use crate::rng::{self, Generator, below};
use crate::testkit::Broken;
use crate::testkit::subject::panic_of;
use crate::testkit::told::Told;
use crate::view::PeerKey;

/// How many histories are played.
const HISTORIES: u64 = 10_000;

/// The pieces of their torrent, the last one of one byte.
const PIECES: u32 = 8;
/// The length of the others, four blocks.
const PIECE: u32 = 4 * BLOCK;
const BLOCK: u32 = 1 << 14;

/// Plays all histories, each twice; the first breach of each promise.
pub(super) fn play_all(subject: &Subject, build: &dyn Fn() -> Box<dyn ChokePolicy>) -> Vec<Broken> {
    let mut found: Vec<Broken> = Vec::new();
    for seed in 0..HISTORIES {
        // Short ones come first, so that what breaks early is shown by a short one. One in a thousand is a crowd.
        let (steps, crowd) = if seed % 1000 == 999 { (600, 200) } else { (2 + seed * 78 / HISTORIES, 10) };
        let played = History::play(subject.name, build(), seed, steps, crowd);
        let again = History::play(subject.name, build(), seed, steps, crowd);
        let mut broken = played.broken;
        // A policy that died twice at one place has given the same answers until then.
        if (&played.log, &played.answers) != (&again.log, &again.answers) {
            let told = &played.told;
            let how = format!("one history, played twice with one seed, has two outcomes\n{told}");
            broken.push(Broken { promise: "the_same_seed_gives_the_same_answers", how });
        }
        for broken in broken {
            if found.iter().all(|known| known.promise != broken.promise) {
                found.push(broken);
            }
        }
    }
    found
}

/// What came of a history.
struct Played {
    log: Vec<Vec<Unchoke>>,
    answers: Vec<Answer>,
    broken: Vec<Broken>,
    /// Its last steps, in words.
    told: String,
}

/// A history while it is played.
struct History {
    name: &'static str,
    client: Client<Box<dyn ChokePolicy>>,
    /// Of each connected peer.
    queues: Vec<RequestQueue>,
    crowd: u32,
    connections: u32,
    rng: Generator,
    told: Told,
}

impl History {
    fn play(name: &'static str, policy: Box<dyn ChokePolicy>, seed: u64, steps: u64, crowd: u32) -> Played {
        let mut history = Self {
            name,
            client: Client::recording(policy, seed),
            queues: Vec::new(),
            crowd,
            connections: 0,
            rng: rng::stream(seed, 0, "history"),
            told: Told::default(),
        };
        history.tell("the run begins without peers".to_owned());
        history.client.pieces = PIECES;
        history.client.own.piece_length = PIECE;
        // One run in eight is a seed's from the start.
        history.client.own.is_seed = seed % 8 == 7;
        let panic = panic_of(|| {
            history.client.start();
            (0..steps).for_each(|_| history.step());
        });
        if let Some(said) = panic {
            history.client.broke("survives_any_history", format!("it panicked: {said}"));
            history.explain();
        }
        let told = history.told.words();
        let Client { log, answers, recorded, .. } = history.client;
        Played { log, answers, broken: recorded.unwrap_or_default(), told }
    }

    /// Says of what broke in the last step how it came to it.
    fn explain(&mut self) {
        self.told.explain(self.client.recorded.as_deref_mut().unwrap_or_default());
    }

    fn draw(&mut self, bound: u32) -> u32 {
        below(&mut self.rng, bound)
    }

    fn step(&mut self) {
        let rounds = self.client.log.len();
        let count = self.client.peers.len() as u32;
        if count == 0 && self.draw(4) == 0 {
            self.wait();
        } else if count == 0 || (count < self.crowd && self.draw(5) == 0) {
            self.connect();
        } else {
            let drawn = self.draw(count) as usize;
            let peer = self.client.peers[drawn].key;
            self.happen_to(peer);
        }
        let next = self.client.policy.next_round();
        self.client.answers.push(Answer::NextRound(next));
        if self.client.log.len() > rounds {
            self.after_a_round();
        }
        self.explain();
    }

    fn tell(&mut self, what: String) {
        self.told.tell(what);
    }

    fn connect(&mut self) {
        // Numbers grow, and some are left out, as of connections that got no handshake done.
        self.connections += 1 + self.draw(3);
        let peer = PeerKey(self.connections);
        self.tell(format!("{peer} connects"));
        self.queues.push(RequestQueue { peer, ready: true, requests: VecDeque::new() });
        self.client.connect(peer);
        // Its bitfield comes after its handshake: some peers have nothing, some have everything.
        let has = match self.draw(4) {
            0 => 0,
            1 => PIECES,
            _ => self.draw(PIECES),
        };
        let first = self.draw(PIECES);
        (0..has).for_each(|nth| self.client.announce(peer, PieceIndex((first + nth) % PIECES)));
        self.client.peer(peer).haves = 0;
        self.tell(format!("{peer} has {has} of {PIECES} pieces"));
    }

    /// `peer` announces one more piece, if it lacks one; what it has it asks for no longer.
    fn announce(&mut self, peer: PeerKey) {
        let Some(piece) = self.client.peer(peer).pieces.missing().next() else { return };
        self.tell(format!("{peer} announces {piece}"));
        self.client.announce(peer, piece);
        let queue = self.queues.iter_mut().find(|queue| queue.peer == peer).expect("one a peer");
        queue.requests.retain(|block| block.piece != piece);
        let facts = self.client.peer(peer);
        facts.queued = queue.requests.len() as u32;
        if facts.is_seed() && facts.peer_interested {
            self.client.interest(peer, false);
        }
    }

    fn happen_to(&mut self, peer: PeerKey) {
        match self.draw(18) {
            0 => {
                self.tell(format!("{peer} leaves"));
                self.queues.retain(|queue| queue.peer != peer);
                self.client.leave(peer);
            }
            1..=3 if self.client.peer(peer).is_seed() => {}
            1..=3 => {
                let interested = !self.client.peer(peer).peer_interested;
                self.tell(format!("{peer} is interested: {interested}"));
                self.client.interest(peer, interested);
            }
            4 => {
                let choking = !self.client.peer(peer).peer_choking;
                self.tell(format!("{peer} chokes us: {choking}"));
                self.choking(peer, choking);
            }
            5 => {
                self.tell(format!("{peer} is snubbed"));
                self.client.snub(peer);
            }
            6 | 7 => self.receive(peer),
            8 | 9 => self.request(peer),
            10 => {
                let (down, up) = (u64::from(self.draw(5)) * 1000, u64::from(self.draw(5)) * 1000);
                self.tell(format!("{peer} has the rates {down} and {up}"));
                let facts = self.client.peer(peer);
                (facts.download_rate, facts.upload_rate) = (down, up);
                let Client { own, peers, .. } = &mut self.client;
                own.download_rate = peers.iter().map(|peer| peer.download_rate).sum();
                own.upload_rate = peers.iter().map(|peer| peer.upload_rate).sum();
            }
            11 if self.draw(8) == 0 && !self.client.own.is_seed => {
                self.tell("we are complete".to_owned());
                self.client.own.is_seed = true;
                self.client.peers.iter_mut().for_each(|peer| peer.am_interested = false);
                self.client.event(PeerEvent::Completed);
            }
            11 => {
                let limit = [None, Some(0), Some(20_000), Some(10_000_000)][self.draw(4) as usize];
                self.client.own.upload_limit = limit;
            }
            12 | 13 => self.make_room(),
            14 => self.announce(peer),
            _ => self.wait(),
        }
    }

    fn wait(&mut self) {
        let millis = [0, 1, 300, 5000, 10_000, 45_000][self.draw(6) as usize];
        self.tell(format!("{millis} ms pass"));
        self.client.pass(self.client.now + Duration::from_millis(millis));
    }

    fn choking(&mut self, peer: PeerKey, choking: bool) {
        let now = self.client.now;
        let facts = self.client.peer(peer);
        facts.peer_choking = choking;
        if !choking {
            facts.peer_unchoked = Some(now);
        }
        self.client.event(if choking { PeerEvent::ChokedUs(peer) } else { PeerEvent::UnchokedUs(peer) });
    }

    /// A block comes from `peer`, which serves us, if it has what we want.
    fn receive(&mut self, peer: PeerKey) {
        if !self.client.peer(peer).am_interested {
            return self.announce(peer);
        }
        if self.client.peer(peer).peer_choking {
            self.choking(peer, false);
        }
        let length = [1, 16_384][self.draw(2) as usize];
        self.tell(format!("{peer} sends {length} bytes"));
        self.client.give(peer, length);
    }

    /// `peer` asks for a block, if it is served and wants one.
    fn request(&mut self, peer: PeerKey) {
        let (piece, at) = (self.draw(PIECES), self.draw(4));
        let facts = self.client.peer(peer);
        let nth = piece % facts.pieces.missing().count().max(1) as u32;
        let lacks = facts.pieces.missing().nth(nth as usize);
        let Some(piece) = lacks.filter(|_| !facts.am_choking && facts.peer_interested) else { return };
        let last = piece.0 == PIECES - 1;
        let (begin, length) = if last { (0, 1) } else { (at * BLOCK, BLOCK) };
        let block = BlockRef { piece, begin, length };
        facts.queued += 1;
        let queue = self.queues.iter_mut().find(|queue| queue.peer == peer).expect("one a peer");
        queue.requests.push_back(block);
        self.tell(format!("{peer} asks for a block"));
        self.client.event(PeerEvent::Requested(peer));
    }

    /// The uplink has room for up to six blocks; some sockets take none.
    fn make_room(&mut self) {
        for at in 0..self.queues.len() {
            self.queues[at].ready = self.draw(4) != 0;
        }
        for _ in 0..=self.draw(6) {
            let Some((peer, place)) = self.client.serve(&self.queues) else { return };
            let queue = self.queues.iter_mut().find(|queue| queue.peer == peer).expect("it waits");
            let block = queue.requests.remove(place).expect("it waits");
            self.tell(format!("{peer} is sent a block"));
            let now = self.client.now;
            let facts = self.client.peer(peer);
            facts.queued -= 1;
            facts.uploaded += u64::from(block.length);
            facts.uploaded_in_round += u64::from(block.length);
            facts.last_sent = Some(now);
            self.client.own.uploaded += u64::from(block.length);
            self.client.event(PeerEvent::Sent(peer, block.length));
            self.forget_choked();
        }
    }

    /// A choke forgets what was asked.
    fn forget_choked(&mut self) {
        for (queue, facts) in self.queues.iter_mut().zip(&mut self.client.peers) {
            if facts.am_choking {
                queue.requests.clear();
                facts.queued = 0;
            }
        }
    }

    fn after_a_round(&mut self) {
        self.client.check_reasons(self.name);
        self.forget_choked();
        for facts in &mut self.client.peers {
            (facts.downloaded_in_round, facts.uploaded_in_round) = (0, 0);
        }
    }
}
