//! Whatever comes in, right or wrong, early, late or twice: the engine never panics, and what must hold holds
//! after every input.

mod common;

#[path = "invariants/chaos.rs"]
mod chaos;
#[path = "invariants/mirror.rs"]
mod mirror;

use std::net::SocketAddr;
use std::time::Duration;

use bt_api::config::{self, Limit, Rate};
use bt_api::{
    AnnounceReply, BlockRef, Instant, PeerAddress, PeerId, PeerKey, PieceHash, PieceIndex, PieceSet,
    StorageError, StorageErrorKind, TrackerError, TrackerErrorKind,
};
use bt_engine::settings::{BacklogMode, BadData, ChokedRequest, Limiter, UninterestedRequest};
use bt_engine::wire::Message;
use bt_engine::{CloseReason, Engine, Input, Output, Settings, Tag, Verdict};
use proptest::prelude::*;
use proptest::sample::Index;

use chaos::Chaos;
use common::solo::{OWN, set};
use common::{BLOCK, Node};
use mirror::Mirror;

const PIECES: u32 = 5;
const PIECE_LENGTH: u32 = 3 * BLOCK;
/// The last piece is short, and so is its last block.
const TOTAL: u64 = (PIECES * PIECE_LENGTH - BLOCK - 5000) as u64;

/// One step of a history. Peers are named by their place among all keys that were ever given out.
#[derive(Clone, Debug)]
enum Step {
    Incoming {
        number: u8,
        handshake: bool,
    },
    Told {
        number: u8,
        with_id: bool,
    },
    Handshake(Index, u8),
    Say(Index, Message),
    /// A request for a block that we have, when there is one.
    Ask(Index, Index),
    /// A block: an answer to one of our requests of that peer, when there is one.
    Answer(Index, Index),
    Refuse(Index, Index),
    Block(Index, BlockRef),
    Alive(Index),
    Closed(Index),
    /// The answer to an upload that is under way.
    Uploaded(Index, Option<StorageErrorKind>),
    UploadedForeign(Index, BlockRef),
    /// The answer to a piece that is being finished.
    Finished(Index, Outcome),
    FinishedForeign(u32, Outcome),
    Announced {
        right: bool,
        works: bool,
    },
    UploadLimit(Option<u64>),
    Playhead(u32),
    Wait(u16),
    ClockBack(u16),
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Good,
    Bad,
    Error(StorageErrorKind),
}

fn kinds() -> impl Strategy<Value = StorageErrorKind> {
    use StorageErrorKind::{Corrupt, Denied, Full, Missing, Other, Temporary};
    prop::sample::select(vec![Missing, Full, Denied, Corrupt, Temporary, Other])
}

fn blocks() -> impl Strategy<Value = BlockRef> {
    let begins = vec![0, BLOCK, 2 * BLOCK, 1, 3 * BLOCK, u32::MAX];
    let lengths = vec![BLOCK, BLOCK, BLOCK, 1, 0, 5000, 131_072, 131_073, u32::MAX];
    (0..PIECES + 2, prop::sample::select(begins), prop::sample::select(lengths))
        .prop_map(|(piece, begin, length)| BlockRef { piece: PieceIndex(piece), begin, length })
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![4 => Just(Outcome::Good), 2 => Just(Outcome::Bad), 2 => kinds().prop_map(Outcome::Error)]
}

fn messages() -> impl Strategy<Value = Message> {
    let bitfield = |pieces: u32| {
        (0..1_u32 << pieces).prop_map(move |bits| {
            Message::Bitfield(set(pieces, &(0..pieces).filter(|at| bits >> at & 1 == 1).collect::<Vec<_>>()))
        })
    };
    prop_oneof![
        1 => Just(Message::KeepAlive),
        2 => Just(Message::Choke),
        6 => Just(Message::Unchoke),
        4 => Just(Message::Interested),
        1 => Just(Message::NotInterested),
        4 => (0..PIECES + 1).prop_map(|piece| Message::Have(PieceIndex(piece))),
        3 => bitfield(PIECES),
        2 => Just(Message::Bitfield(PieceSet::full(PIECES))),
        1 => bitfield(PIECES + 1),
        6 => blocks().prop_map(Message::Request),
        2 => blocks().prop_map(Message::Cancel),
        1 => Just(Message::HaveAll),
        1 => Just(Message::HaveNone),
        1 => (0..PIECES + 1).prop_map(|piece| Message::Suggest(PieceIndex(piece))),
        2 => (0..PIECES + 1).prop_map(|piece| Message::AllowedFast(PieceIndex(piece))),
        1 => blocks().prop_map(Message::Reject),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let which = || any::<Index>();
    prop_oneof![
        4 => (0..9_u8, prop::bool::weighted(0.9)).prop_map(|(number, handshake)| Step::Incoming { number, handshake }),
        2 => (0..9_u8, any::<bool>()).prop_map(|(number, with_id)| Step::Told { number, with_id }),
        3 => (which(), 0..9_u8).prop_map(|(peer, id)| Step::Handshake(peer, id)),
        24 => (which(), messages()).prop_map(|(peer, message)| Step::Say(peer, message)),
        12 => (which(), which()).prop_map(|(peer, which)| Step::Ask(peer, which)),
        24 => (which(), which()).prop_map(|(peer, which)| Step::Answer(peer, which)),
        2 => (which(), which()).prop_map(|(peer, request)| Step::Refuse(peer, request)),
        2 => (which(), blocks()).prop_map(|(peer, block)| Step::Block(peer, block)),
        1 => which().prop_map(Step::Alive),
        1 => which().prop_map(Step::Closed),
        6 => (which(), prop::option::weighted(0.2, kinds())).prop_map(|(which, error)| Step::Uploaded(which, error)),
        1 => (which(), blocks()).prop_map(|(peer, block)| Step::UploadedForeign(peer, block)),
        8 => (which(), outcomes()).prop_map(|(which, outcome)| Step::Finished(which, outcome)),
        1 => (0..PIECES + 2, outcomes()).prop_map(|(piece, outcome)| Step::FinishedForeign(piece, outcome)),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(right, works)| Step::Announced { right, works }),
        1 => prop::sample::select(vec![None, Some(0), Some(1), Some(20_000), Some(u64::MAX)])
            .prop_map(Step::UploadLimit),
        1 => any::<u32>().prop_map(Step::Playhead),
        4 => (0..2000_u16).prop_map(Step::Wait),
        1 => any::<u16>().prop_map(Step::Wait),
        1 => any::<u16>().prop_map(Step::ClockBack),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let bad_data = vec![BadData::Keep, BadData::V39, BadData::Bittornado, BadData::Ban];
    let limiters = vec![Limiter::Suspend, Limiter::Bucket, Limiter::Unit];
    let picks = (prop::sample::select(bad_data), prop::sample::select(limiters));
    let choices = (any::<[bool; 8]>(), picks, 1..4_u32, 1..3_u32);
    choices.prop_map(|(switches, (bad_data, limiter), backlog, in_flight)| {
        let [rate, one, release, ignore, keep, limit, bounded, reject] = switches;
        let mut settings = Settings::default();
        settings.peers.max_connections = 6;
        settings.peers.max_initiate = 4;
        settings.peers.max_spares = 2;
        settings.peers.one_per_address = one;
        settings.peers.bad_data = bad_data;
        settings.requests.backlog = backlog;
        settings.requests.max_backlog = Limit::At(backlog + 3);
        settings.requests.backlog_mode = if rate { BacklogMode::Rate } else { BacklogMode::Fixed };
        settings.requests.endgame_respects_backlog = bounded;
        settings.requests.snub_time = config::Duration::secs(2);
        settings.requests.snub_releases_requests = release;
        settings.requests.drop_seeds_when_complete = !keep;
        settings.upload.max_queue = 3;
        settings.upload.in_flight = in_flight;
        settings.upload.limiter = limiter;
        settings.upload.choked_request = if reject { ChokedRequest::Reject } else { ChokedRequest::Ignore };
        if ignore {
            settings.upload.uninterested_request = UninterestedRequest::Ignore;
        }
        if limit {
            settings.net.upload_limit = Limit::At(Rate(50_000));
        }
        settings
    })
}

struct Run {
    engine: Engine,
    mirror: Mirror,
    now: Instant,
    keys: Vec<PeerKey>,
    next_tag: u64,
    /// Everything that came out, to find out whether the run did anything at all.
    outputs: u64,
}

impl Run {
    fn new(settings: Settings, have: PieceSet, chaos: (bool, bool), seed: u64) -> Self {
        let mut node = Node::new(have);
        node.settings = settings.clone();
        if chaos.0 {
            node.choke = Box::new(Chaos::default());
        }
        if chaos.1 {
            node.piece = Box::new(Chaos::default());
        }
        let mut setup = node.setup(PIECES, 3, 0, OWN, seed, true);
        setup.total_length = TOTAL;
        let mut run = Self {
            engine: Engine::new(setup),
            mirror: Mirror::new(settings, PIECES, PIECE_LENGTH, TOTAL),
            now: Instant::ZERO,
            keys: vec![PeerKey(u32::MAX)],
            next_tag: 0,
            outputs: 0,
        };
        run.engine.start(run.now);
        run.drain(&Input::Wakeup);
        run
    }

    fn drain(&mut self, input: &Input) {
        let outputs: Vec<Output> = std::iter::from_fn(|| self.engine.poll_output()).collect();
        self.outputs += outputs.len() as u64;
        self.keys.extend(outputs.iter().filter_map(|output| match output {
            Output::Connect { peer, .. } => Some(*peer),
            _ => None,
        }));
        self.mirror.after(&self.engine, input, &outputs);
    }

    fn feed(&mut self, input: Input) {
        self.feed_at(self.now, input);
    }

    fn feed_at(&mut self, now: Instant, input: Input) {
        self.mirror.before(&input);
        self.engine.handle(now, input.clone());
        self.drain(&input);
    }

    /// Nearly always a connected peer; else any key that was ever given out, or none.
    fn peer(&self, which: Index) -> PeerKey {
        let connected = self.engine.swarm().peers();
        if connected.is_empty() || which.index(10) == 9 {
            return *which.get(&self.keys);
        }
        // Its low digits: what chose among the ten above says nothing about them.
        connected[which.index(1 << 20) % connected.len()].key
    }

    fn send_block(&mut self, peer: PeerKey, block: BlockRef) {
        self.next_tag += 1;
        self.feed(Input::Block { peer, block, tag: Tag(self.next_tag) });
    }

    /// Lets time pass with every wake-up that is wanted; there are not too many of them.
    fn wait(&mut self, millis: u16) {
        let end = self.now + Duration::from_millis(millis.into());
        let (mut wakeups, before) = (0, self.outputs);
        while let Some(at) = self.engine.next_wakeup().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.feed(Input::Wakeup);
            wakeups += 1;
            // A policy may want a round and a look at its peers each millisecond; every other clock does something.
            let most = 20 + 3 * u64::from(millis) + (self.outputs - before);
            assert!(wakeups <= most, "{wakeups} wake-ups in {millis} ms");
        }
        self.now = end;
    }

    fn finish(&mut self, piece: PieceIndex, outcome: Outcome) {
        // Different blocks at each attempt, so that the guard has something to find.
        let digests = |mark| vec![PieceHash([mark; 20]); 3];
        let result = match outcome {
            Outcome::Good => Ok(Verdict::Good(digests(0))),
            Outcome::Bad => Ok(Verdict::Bad(digests(1))),
            Outcome::Error(kind) => Err(StorageError::new(kind, "says the test")),
        };
        self.feed(Input::Finished { piece, result });
    }

    /// Every other peer knows the fast extension.
    fn offer_fast(&mut self, peer: PeerKey, number: u8) {
        if number.is_multiple_of(2) {
            self.feed(Input::Fast { peer });
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Incoming { number, handshake } => {
                let peer = self.engine.new_peer();
                self.keys.push(peer);
                let address = SocketAddr::from(([10, 1, 0, number], 6881));
                self.feed(Input::Incoming { peer, address });
                if handshake {
                    self.offer_fast(peer, number);
                    self.feed(Input::Handshake { peer, id: id(number) });
                }
            }
            Step::Told { number, with_id } => {
                let address = SocketAddr::from(([10, 1, 0, number], 6881));
                let peers = vec![PeerAddress { address, id: with_id.then_some(id(number)) }];
                self.feed(Input::Peers { source: "test".to_owned(), peers });
            }
            Step::Handshake(which, number) => {
                let dialling = &self.mirror.dialling;
                let peer = if dialling.is_empty() { self.peer(which) } else { *which.get(dialling) };
                self.offer_fast(peer, number);
                self.feed(Input::Handshake { peer, id: id(number) });
            }
            Step::Refuse(which, request) => {
                let peer = self.peer(which);
                let asked = self.mirror.asked_of(peer);
                if !asked.is_empty() {
                    let message = Message::Reject(*request.get(asked));
                    self.feed(Input::Message { peer, message });
                }
            }
            Step::Say(which, message) => self.feed(Input::Message { peer: self.peer(which), message }),
            Step::Ask(which, block) => {
                let have: Vec<PieceIndex> = self.engine.have().iter().collect();
                if !have.is_empty() {
                    let block = BlockRef { piece: *block.get(&have), begin: BLOCK, length: BLOCK };
                    self.feed(Input::Message { peer: self.peer(which), message: Message::Request(block) });
                }
            }
            Step::Answer(which, request) => {
                let peer = self.peer(which);
                let asked = self.mirror.asked_of(peer);
                if !asked.is_empty() {
                    self.send_block(peer, *request.get(asked));
                }
            }
            Step::Block(which, block) => self.send_block(self.peer(which), block),
            Step::Alive(which) => self.feed(Input::Alive { peer: self.peer(which) }),
            Step::Closed(which) => {
                let reason = CloseReason::Remote;
                self.feed(Input::Closed { peer: self.peer(which), reason });
            }
            Step::Uploaded(which, error) => {
                if !self.mirror.uploading.is_empty() {
                    let place = which.index(self.mirror.uploading.len());
                    let (peer, block) = self.mirror.uploading.remove(place);
                    let result = error.map_or(Ok(()), |kind| Err(StorageError::new(kind, "says the test")));
                    self.feed(Input::Uploaded { peer, block, result });
                }
            }
            Step::UploadedForeign(which, block) => {
                self.feed(Input::Uploaded { peer: self.peer(which), block, result: Ok(()) });
            }
            Step::Finished(which, outcome) => {
                if !self.mirror.finishing.is_empty() {
                    let place = which.index(self.mirror.finishing.len());
                    let piece = self.mirror.finishing.remove(place);
                    if !matches!(outcome, Outcome::Error(_)) {
                        self.mirror.settled(piece);
                    }
                    self.finish(piece, outcome);
                }
            }
            Step::FinishedForeign(piece, outcome) => {
                let piece = PieceIndex(piece);
                if !self.mirror.is_whole(piece) {
                    self.finish(piece, outcome);
                }
            }
            Step::Announced { right, works } => {
                let tag = if right { self.mirror.announces.pop() } else { None };
                let peers = (0..9).map(|number| PeerAddress {
                    address: SocketAddr::from(([10, 1, 0, number], 6881)),
                    id: None,
                });
                let result = if works {
                    Ok(AnnounceReply { peers: peers.collect(), ..AnnounceReply::default() })
                } else {
                    Err(TrackerError::new(TrackerErrorKind::Refused, "no"))
                };
                self.feed(Input::Announced { tag: tag.unwrap_or(u64::MAX), result: result.map(Box::new) });
            }
            Step::UploadLimit(limit) => self.feed(Input::UploadLimit(limit)),
            Step::Playhead(piece) => self.feed(Input::Playhead(PieceIndex(piece))),
            Step::Wait(millis) => self.wait(millis),
            Step::ClockBack(millis) => {
                let earlier = self.now.as_nanos().saturating_sub(u64::from(millis) * 1_000_000);
                self.feed_at(Instant::from_nanos(earlier), Input::Wakeup);
            }
        }
    }
}

/// Of the peer of this number; number 8 is ourselves.
fn id(number: u8) -> PeerId {
    if number == 8 { OWN } else { PeerId([number; 20]) }
}

proptest! {
    // There is no file of failures: a failing history becomes a named test.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_must_hold_holds_after_every_input(
        settings in settings(),
        have in prop::collection::vec(any::<bool>(), PIECES as usize),
        chaos in any::<(bool, bool)>(),
        seed in any::<u64>(),
        history in prop::collection::vec(steps(), 1..400),
    ) {
        let have: Vec<u32> = (0..PIECES).filter(|&piece| have[piece as usize]).collect();
        let mut run = Run::new(settings, set(PIECES, &have), chaos, seed);
        for step in history {
            run.take(step);
            run.engine.status(run.now);
        }
        run.feed(Input::Stop);
        // What comes after the end is answered too.
        run.send_block(PeerKey(1), BlockRef { piece: PieceIndex(0), begin: 0, length: BLOCK });
        run.wait(10_000);
        prop_assert!(run.mirror.stopped);
        prop_assert_eq!(run.engine.next_wakeup(), None);
    }
}
