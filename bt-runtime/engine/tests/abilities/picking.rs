//! Piece policies: what is asked of whom, holding off, endgame, what is shown to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bt_api::{
    Advertise, Instant, PeerFacts, PeerKey, Pick, PieceEvent, PieceIndex, PiecePolicy, PieceSet, PieceView,
    Rng,
};
use bt_engine::wire::Message;
use bt_engine::{CloseReason, Event, Input, Output};

use crate::common::everyone::Everyone;
use crate::common::solo::{Solo, block, closes, requests, sent, set};
use crate::common::{Network, Node};

const HOUR: Instant = Instant::from_secs(3600);

type PickFn = dyn FnMut(Instant, &PeerFacts, &PieceView<'_>) -> Pick + Send;
type NoticeFn = dyn FnMut(Instant, PieceEvent, &PieceView<'_>) + Send;
type EndgameFn = dyn FnMut(&PieceView<'_>) -> bool + Send;
type AdvertiseFn = dyn FnMut(Instant, PeerKey, &PieceView<'_>) -> Advertise + Send;

/// A piece policy of closures.
pub(crate) struct Made {
    pub(crate) pick: Box<PickFn>,
    notice: Box<NoticeFn>,
    endgame: Box<EndgameFn>,
    /// When it wants to be woken; shared, so that a closure may move it.
    wakeup: Arc<Mutex<Option<Instant>>>,
    advertise: Box<AdvertiseFn>,
}

impl Made {
    /// Takes the lowest piece that is offered, and hides nothing.
    pub(crate) fn new() -> Self {
        Self {
            pick: Box::new(|_, peer, view| lowest(peer, view)),
            notice: Box::new(|_, _, _| {}),
            endgame: Box::new(|_| false),
            wakeup: Arc::default(),
            advertise: Box::new(|_, _, _| Advertise::All),
        }
    }
}

fn offered(peer: &PeerFacts, view: &PieceView<'_>) -> Vec<PieceIndex> {
    let open: Vec<PieceIndex> = view.pieces().open().iter().collect();
    open.into_iter().filter(|&piece| view.offers(peer, piece)).collect()
}

fn lowest(peer: &PeerFacts, view: &PieceView<'_>) -> Pick {
    offered(peer, view).first().map_or(Pick::Nothing, |&piece| Pick::Piece(piece))
}

fn best<K: Ord>(peer: &PeerFacts, view: &PieceView<'_>, key: impl Fn(PieceIndex) -> K) -> Pick {
    offered(peer, view).into_iter().min_by_key(|&piece| key(piece)).map_or(Pick::Nothing, Pick::Piece)
}

impl PiecePolicy for Made {
    fn pick(&mut self, now: Instant, peer: &PeerFacts, view: &PieceView<'_>, _: &mut dyn Rng) -> Pick {
        (self.pick)(now, peer, view)
    }

    fn notice(&mut self, now: Instant, event: PieceEvent, view: &PieceView<'_>, _: &mut dyn Rng) {
        (self.notice)(now, event, view);
    }

    fn endgame(&mut self, view: &PieceView<'_>) -> bool {
        (self.endgame)(view)
    }

    fn next_wakeup(&self) -> Option<Instant> {
        *self.wakeup.lock().unwrap()
    }

    fn advertise(&mut self, now: Instant, peer: PeerKey, view: &PieceView<'_>, _: &mut dyn Rng) -> Advertise {
        (self.advertise)(now, peer, view)
    }
}

/// A leecher with the policy that `edit` makes of the plain one; pieces of `blocks` blocks.
fn leecher(pieces: u32, blocks: u32, edit: impl FnOnce(&mut Made)) -> Solo {
    let mut piece = Made::new();
    edit(&mut piece);
    Solo::new(blocks, Node { piece: Box::new(piece), ..Node::new(PieceSet::new(pieces)) })
}

fn pieces_of(blocks: &[bt_api::BlockRef]) -> Vec<u32> {
    blocks.iter().map(|block| block.piece.0).collect()
}

#[test]
fn by_availability() {
    let mut solo = leecher(4, 1, |made| {
        made.pick = Box::new(|_, peer, view| best(peer, view, |piece| view.pieces().availability(piece)));
    });
    solo.connect(1, &[0, 1, 3]);
    solo.connect(2, &[0, 3]);
    solo.connect(3, &[3]);
    let (_, asked) = solo.connect_open(4, &[0, 1, 2, 3]);
    assert_eq!(pieces_of(&asked), [2, 1, 0, 3]);
}

#[test]
fn by_what_is_begun() {
    let begun_last = |piece: PieceIndex, view: &PieceView<'_>| view.pieces().has_progress(piece);
    let mut solo = leecher(8, 3, |made| {
        made.pick = Box::new(move |_, peer, view| best(peer, view, |piece| begun_last(piece, view)));
    });
    let (_, asked) = solo.connect_open(1, &[0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(pieces_of(&asked), [0, 1, 2, 3, 4], "a fresh one each time");
    let mut solo = leecher(8, 3, |made| {
        made.pick = Box::new(move |_, peer, view| best(peer, view, |piece| !begun_last(piece, view)));
    });
    let (_, asked) = solo.connect_open(1, &[0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(pieces_of(&asked), [0, 0, 0, 1, 1]);
}

#[test]
fn by_the_peers_state() {
    // Seeds are asked for high pieces, the others for low ones.
    let mut solo = leecher(8, 1, |made| {
        made.pick = Box::new(|_, peer, view| {
            best(peer, view, |piece| if peer.is_seed() { 8 - piece.0 } else { piece.0 })
        });
    });
    let all: Vec<u32> = (0..8).collect();
    let (_, asked) = solo.connect_open(1, &all);
    assert_eq!(pieces_of(&asked), [7, 6, 5, 4, 3]);
    let (_, asked) = solo.connect_open(2, &all[..7]);
    assert_eq!(pieces_of(&asked), [0, 1, 2]);
}

#[test]
fn by_the_playhead() {
    let mut solo = leecher(10, 1, |made| {
        made.pick = Box::new(|_, peer, view| {
            let playhead = view.pieces().playhead();
            best(peer, view, |piece| (piece < playhead, piece))
        });
    });
    solo.feed(Input::Playhead(PieceIndex(6)));
    let (a, asked) = solo.connect_open(1, &(0..10).collect::<Vec<_>>());
    assert_eq!(pieces_of(&asked), [6, 7, 8, 9, 0]);
    solo.feed(Input::Playhead(PieceIndex(3)));
    assert_eq!(pieces_of(&requests(&solo.send_block(a, block(6, 0)), a)), [3]);
    assert_eq!(solo.engine.policy_violations(), 0);
}

#[test]
fn only_what_was_just_freed_is_offered() {
    type Offers = Vec<(PeerKey, Vec<PieceIndex>)>;
    let offers: Arc<Mutex<Offers>> = Arc::default();
    let log = offers.clone();
    let mut solo = leecher(4, 4, |made| {
        made.pick = Box::new(move |_, peer, view| {
            if let Some(only) = view.only() {
                log.lock().unwrap().push((peer.key, only.to_vec()));
                assert!(only.iter().all(|&piece| !peer.pieces.contains(piece) || view.offers(peer, piece)));
            }
            lowest(peer, view)
        });
    });
    let (a, asked) = solo.connect_open(1, &[0]);
    let (b, _) = solo.connect_open(2, &[0, 1]);
    assert_eq!(asked.len(), 4);
    let out = solo.say(a, Message::Choke);
    let offers = offers.lock().unwrap();
    assert!(!offers.is_empty());
    assert!(offers.iter().all(|(peer, only)| *peer == b && only[..] == [PieceIndex(0)]), "{offers:?}");
    assert_eq!(pieces_of(&requests(&out, b)), [0], "one more fits into its backlog");
}

#[test]
fn holding_off_although_something_is_useful() {
    // Nothing before ten seconds: a mode-suppression rule in its smallest form.
    let mut solo = leecher(4, 1, |made| {
        let wakeup = made.wakeup.clone();
        made.pick = Box::new(move |now, peer, view| {
            let until = Instant::from_secs(10);
            if now < until {
                *wakeup.lock().unwrap() = Some(until);
                return Pick::Nothing;
            }
            *wakeup.lock().unwrap() = None;
            lowest(peer, view)
        });
    });
    let (a, asked) = solo.connect_open(1, &[0, 1]);
    assert!(asked.is_empty());
    assert!(solo.engine.swarm().peer(a).unwrap().am_interested);
    assert!(requests(&solo.wait(Duration::from_millis(9_999)), a).is_empty());
    assert_eq!(pieces_of(&requests(&solo.wait(Duration::from_millis(1)), a)), [0, 1]);
}

#[test]
fn who_held_off_is_asked_again_when_a_peer_has_changed() {
    // Nothing that only one peer has.
    let mut solo = leecher(4, 1, |made| {
        made.pick = Box::new(|_, peer, view| {
            let common = offered(peer, view).into_iter().find(|&piece| view.pieces().availability(piece) > 1);
            common.map_or(Pick::Nothing, Pick::Piece)
        });
    });
    let (a, asked) = solo.connect_open(1, &[0, 1]);
    assert!(asked.is_empty());
    let b = solo.connect(2, &[]);
    let out = solo.say(b, Message::Have(PieceIndex(1)));
    assert_eq!(pieces_of(&requests(&out, a)), [1]);
}

/// The policy says when endgame begins, and which block is asked for twice.
#[test]
fn duplicate_requests_when_the_policy_says_so() {
    let began_at: Arc<Mutex<Option<u64>>> = Arc::default();
    let log = began_at.clone();
    let mut solo = leecher(2, 4, |made| {
        made.endgame = Box::new(move |view| {
            // Early: while one block is still open.
            let begins = view.pieces().open_bytes() <= 16 << 10;
            if begins {
                log.lock().unwrap().get_or_insert(view.pieces().open_bytes());
            }
            begins
        });
        made.pick = Box::new(|_, peer, view| {
            let highest = view.endgame().then(|| view.missing_blocks_of(peer).max()).flatten();
            highest.map_or_else(|| lowest(peer, view), Pick::Block)
        });
    });
    let (a, asked) = solo.connect_open(1, &[0]);
    assert_eq!(asked.len(), 4);
    assert!(!solo.engine.status(solo.now).endgame);
    let (b, asked) = solo.connect_open(2, &[0, 1]);
    assert_eq!(*began_at.lock().unwrap(), Some(16 << 10));
    assert!(solo.engine.status(solo.now).endgame);
    assert_eq!(asked, [block(1, 0), block(1, 1), block(1, 2), block(1, 3), block(0, 3)]);
    let out = solo.send_block(b, block(0, 3));
    assert!(sent(&out, a).contains(&Message::Cancel(block(0, 3))));
    assert_eq!(solo.engine.policy_violations(), 0);
}

#[test]
fn a_policy_without_endgame_never_asks_twice() {
    let policy = || Node { piece: Box::new(Made::new()), ..Node::new(PieceSet::new(12)) };
    let nodes = vec![Node::new(PieceSet::full(12)), policy(), policy()];
    let mut network = Network::new(12, 4, 3, true, nodes);
    assert!(network.run_until_complete(HOUR));
    for node in &network.nodes[1..] {
        assert!(!node.events.iter().any(|(_, event)| matches!(
            event,
            Event::Cancel { .. } | Event::DuplicateBlock { .. } | Event::Endgame { .. }
        )));
    }
}

#[test]
fn events_of_pieces_are_told() {
    let events: Arc<Mutex<Vec<PieceEvent>>> = Arc::default();
    let log = events.clone();
    let mut solo = leecher(2, 1, |made| {
        made.notice = Box::new(move |_, event, _| log.lock().unwrap().push(event));
    });
    let take = || std::mem::take(&mut *events.lock().unwrap());
    let (seed, _) = solo.connect_open(1, &[0, 1]);
    let (other, _) = solo.connect_open(2, &[]);
    let asked = |piece, peer, from_seed| PieceEvent::Requested { block: block(piece, 0), peer, from_seed };
    let expected = [
        PieceEvent::Connected(seed),
        asked(0, seed, true),
        asked(1, seed, true),
        PieceEvent::Connected(other),
    ];
    assert_eq!(take(), expected);
    solo.say(seed, Message::Choke);
    assert!(take().is_empty());
    solo.say(other, Message::Have(PieceIndex(0)));
    assert_eq!(take(), [PieceEvent::Announced(other, PieceIndex(0)), asked(0, other, false)]);
    solo.send_block(other, block(0, 0));
    solo.bad(0);
    assert_eq!(take(), [PieceEvent::Failed(PieceIndex(0)), asked(0, other, false)]);
    solo.send_block(other, block(0, 0));
    solo.good(0);
    assert_eq!(take(), [PieceEvent::Completed(PieceIndex(0))]);
    solo.feed(Input::Closed { peer: other, reason: CloseReason::Remote });
    assert_eq!(take(), [PieceEvent::Gone(other)]);
}

/// Super-seeding: each peer is shown one piece, and the next when another peer has it too.
fn super_seeder() -> Made {
    #[derive(Default)]
    struct State {
        /// What each peer was shown, the newest last.
        shown: BTreeMap<PeerKey, Vec<PieceIndex>>,
        /// Pieces that somebody else was seen to have got.
        spread: BTreeSet<PieceIndex>,
    }
    let state: Arc<Mutex<State>> = Arc::default();
    let mut made = Made::new();
    let (seen, wakeup) = (state.clone(), made.wakeup.clone());
    made.notice = Box::new(move |now, event, _| {
        let mut state = seen.lock().unwrap();
        match event {
            PieceEvent::Announced(by, piece) => {
                let elsewhere =
                    state.shown.iter().any(|(&peer, shown)| peer != by && shown.last() == Some(&piece));
                if elsewhere {
                    state.spread.insert(piece);
                    // Whoever was shown it may know of the next now.
                    *wakeup.lock().unwrap() = Some(now + Duration::from_millis(1));
                }
            }
            PieceEvent::Gone(peer) => drop(state.shown.remove(&peer)),
            _ => {}
        }
    });
    let wakeup = made.wakeup.clone();
    made.advertise = Box::new(move |now, peer, view| {
        wakeup.lock().unwrap().take_if(|due| *due <= now);
        let state = &mut *state.lock().unwrap();
        let counts = |piece: PieceIndex| state.shown.values().flatten().filter(|&&it| it == piece).count();
        let has = |piece| view.swarm().peer(peer).is_some_and(|it| it.pieces.contains(piece));
        let mine = state.shown.get(&peer).map_or(&[][..], Vec::as_slice);
        let due = mine.last().is_none_or(|last| state.spread.contains(last));
        let fresh = view.pieces().have().iter().filter(|&piece| !mine.contains(&piece) && !has(piece));
        let next = fresh.min_by_key(|&piece| counts(piece)).filter(|_| due);
        state.shown.entry(peer).or_default().extend(next);
        let mut set = PieceSet::new(view.pieces().count());
        state.shown[&peer].iter().for_each(|&piece| {
            set.insert(piece);
        });
        Advertise::Only(set)
    });
    made
}

#[test]
fn a_super_seeder_shows_one_piece_and_the_next_when_it_is_seen_elsewhere() {
    let node =
        Node { choke: Everyone::boxed(), piece: Box::new(super_seeder()), ..Node::new(PieceSet::full(6)) };
    let mut solo = Solo::new(1, node);
    let shown = |out: &[Output], peer| -> Vec<u32> {
        sent(out, peer)
            .into_iter()
            .flat_map(|message| match message {
                Message::Bitfield(set) => set.iter().map(|piece| piece.0).collect(),
                Message::Have(piece) => vec![piece.0],
                _ => vec![],
            })
            .collect()
    };
    let (a, out) = solo.connect_told(1);
    assert_eq!(shown(&out, a), [0]);
    let (b, out) = solo.connect_told(2);
    assert_eq!(shown(&out, b), [1]);
    // That it has the piece itself is no news; that another has it is.
    assert!(shown(&solo.say(a, Message::Have(PieceIndex(0))), a).is_empty());
    solo.say(b, Message::Have(PieceIndex(0)));
    let out = solo.wait(Duration::from_millis(2));
    assert_eq!(shown(&out, a), [2]);
    assert!(shown(&out, b).is_empty());
    // What is hidden may not be asked for (SS-8).
    for peer in [a, b] {
        solo.say(peer, Message::Interested);
    }
    assert!(closes(&solo.say(a, Message::Request(block(2, 0)))).is_empty());
    assert_eq!(closes(&solo.say(b, Message::Request(block(5, 0)))), [(b, CloseReason::BadRequest)]);
}

#[test]
fn a_swarm_around_a_super_seeder_completes() {
    let seed = Node { piece: Box::new(super_seeder()), ..Node::new(PieceSet::full(16)) };
    let mut nodes = vec![seed];
    nodes.extend((0..4).map(|_| Node::new(PieceSet::new(16))));
    let mut network = Network::new(16, 2, 5, true, nodes);
    assert!(network.run_until_complete(HOUR), "{:?}", network.nodes[1].engine.status(HOUR));
    let sent = network.nodes[0].engine.swarm().own().uploaded;
    let size = 16 * 2 * (16 << 10);
    assert!(sent < 2 * size, "it sent {sent} bytes of {size}");
}

#[test]
fn what_is_shown_changes_by_the_clock_too() {
    let mut made = Made::new();
    let wakeup = made.wakeup.clone();
    made.advertise = Box::new(move |now, _, view| {
        // One more piece every ten seconds.
        let shown = (now.as_secs_f64() / 10.0) as u32;
        *wakeup.lock().unwrap() = Some(Instant::from_secs(u64::from(shown + 1) * 10));
        Advertise::Only(set(view.pieces().count(), &(0..shown.min(4)).collect::<Vec<_>>()))
    });
    *made.wakeup.lock().unwrap() = Some(Instant::from_secs(10));
    let node = Node { choke: Everyone::boxed(), piece: Box::new(made), ..Node::new(PieceSet::full(4)) };
    let mut solo = Solo::new(1, node);
    let (a, out) = solo.connect_told(1);
    assert_eq!(sent(&out, a), [Message::Unchoke], "nothing at first");
    let mut haves = Vec::new();
    for (at, output) in solo.wait_timed(Duration::from_secs(60)) {
        haves.extend(sent(&[output], a).into_iter().map(|message| (at.as_secs_f64(), message)));
    }
    let expected = [(10.0, 0), (20.0, 1), (30.0, 2), (40.0, 3)]
        .map(|(at, piece)| (at, Message::Have(PieceIndex(piece))));
    assert_eq!(haves, expected);
}

/// Under-reporting: a leecher that hides a third of what it completes.
#[test]
fn what_is_completed_may_stay_hidden() {
    let mut solo = leecher(3, 1, |made| {
        made.advertise = Box::new(|_, _, view| {
            let mut shown = view.pieces().have().clone();
            shown.remove(PieceIndex(1));
            Advertise::Only(shown)
        });
    });
    let (a, asked) = solo.connect_open(1, &[0, 1]);
    asked.iter().for_each(|&block| drop(solo.send_block(a, block)));
    assert_eq!(sent(&solo.good(0), a), [Message::Have(PieceIndex(0))]);
    assert!(sent(&solo.good(1), a).iter().all(|message| !matches!(message, Message::Have(_))));
}

/// A peer that announces too much is closed, by a policy that hides nothing from anyone.
#[test]
fn a_peer_can_be_closed() {
    let mut solo = leecher(8, 1, |made| {
        made.advertise = Box::new(|_, peer, view| {
            let suspicious = view.swarm().peer(peer).is_some_and(|it| it.haves > 2);
            if suspicious { Advertise::Close } else { Advertise::All }
        });
    });
    let a = solo.connect(1, &[]);
    for piece in 0..2 {
        assert!(closes(&solo.say(a, Message::Have(PieceIndex(piece)))).is_empty());
    }
    let out = solo.say(a, Message::Have(PieceIndex(2)));
    assert_eq!(closes(&out), [(a, CloseReason::Policy)]);

    let mut solo = leecher(8, 1, |made| {
        made.advertise = Box::new(|_, _, _| Advertise::Close);
    });
    let (a, out) = solo.connect_told(1);
    assert_eq!(closes(&out), [(a, CloseReason::Policy)]);
    assert!(sent(&out, a).is_empty());
}
