//! The kit of choke policies: a good policy keeps every promise, and each of these broken ones breaks the one meant.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bt_api::testkit::broken_promises;
use bt_api::testkit::choke::{PROMISES, Subject};
use bt_api::{
    BlockRef, Cause, ChokePolicy, Instant, Notice, PeerEvent, PeerKey, PieceIndex, Reason, RequestQueue, Rng,
    Serve, Share, SwarmView, Unchokes, Waiting, rng,
};

/// What is wrong with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    PanicsWhenAServedPeerLeaves,
    PanicsWithoutPeers,
    RemembersTheGone,
    ServesOneTooMany,
    GivesPlacesToTheFirst,
    DrawsTheUninterestedToo,
    NeverMovesItsRound,
    MovesItsRoundOnlyForPeers,
    DrawsFromElsewhere,
    ServesWhoDoesNotWait,
    ServesWhatWasNotAskedFor,
    GivesAReasonOfItsOwn,
    PanicsAtASeed,
    ServesNobody,
    CapsAtNothing,
}

/// Serves two interested peers, drawn anew in each round.
struct Two {
    flaw: Flaw,
    next_round: Instant,
    gone: Option<PeerKey>,
}

const SLOTS: usize = 2;

impl ChokePolicy for Two {
    fn next_round(&self) -> Instant {
        self.next_round
    }

    fn max_interested(&self) -> usize {
        SLOTS
    }

    fn notice(&mut self, _: Instant, event: PeerEvent<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        match event {
            PeerEvent::Gone(peer) => {
                assert!(self.flaw != Flaw::PanicsWhenAServedPeerLeaves || peer.am_choking, "where is it?");
                self.gone = Some(peer.key);
                if peer.am_choking { Notice::Nothing } else { Notice::Rechoke }
            }
            PeerEvent::Interested(_) | PeerEvent::NotInterested(_) => Notice::Rechoke,
            _ => Notice::Nothing,
        }
    }

    fn choose(
        &mut self,
        now: Instant,
        _: Cause,
        swarm: &SwarmView<'_>,
        rng: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        assert!(self.flaw != Flaw::PanicsWithoutPeers || !swarm.peers().is_empty(), "where is everybody?");
        if self.flaw == Flaw::PanicsAtASeed {
            assert!(!swarm.peers().iter().any(|peer| peer.is_seed()), "what does it want?");
        }
        self.next_round = match self.flaw {
            Flaw::NeverMovesItsRound => now,
            Flaw::MovesItsRoundOnlyForPeers if swarm.peers().is_empty() => self.next_round,
            _ => now + Duration::from_secs(10),
        };
        let all = matches!(self.flaw, Flaw::GivesPlacesToTheFirst | Flaw::DrawsTheUninterestedToo);
        let mut peers: Vec<PeerKey> =
            swarm.peers().iter().filter(|peer| all || peer.peer_interested).map(|peer| peer.key).collect();
        match self.flaw {
            Flaw::GivesPlacesToTheFirst => {}
            Flaw::DrawsFromElsewhere => {
                static CALLS: AtomicU32 = AtomicU32::new(0);
                let by = CALLS.fetch_add(1, Ordering::Relaxed) as usize;
                let count = peers.len().max(1);
                peers.rotate_left(by % count);
            }
            _ => rng::shuffle(rng, &mut peers),
        }
        let slots = if self.flaw == Flaw::ServesOneTooMany { SLOTS + 1 } else { SLOTS };
        let reason = match self.flaw {
            Flaw::GivesAReasonOfItsOwn => Reason("luck"),
            _ => Reason("two:luck"),
        };
        let share = if self.flaw == Flaw::CapsAtNothing { Share::Cap(0) } else { Share::Equal };
        peers.iter().take(slots).for_each(|&peer| unchokes.push_with(peer, share, reason));
        if let (Flaw::RemembersTheGone, Some(gone)) = (self.flaw, self.gone) {
            unchokes.push(gone, reason);
        }
    }

    fn serve(&mut self, _: Instant, waiting: &Waiting<'_>, swarm: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        waiting.iter().for_each(|queue| believe(queue, swarm));
        let waits = waiting.iter().next().map(|queue| queue.peer);
        match (self.flaw, waits, swarm.peers().first()) {
            (Flaw::ServesWhoDoesNotWait, _, Some(peer)) => Serve::Peer(peer.key),
            (Flaw::ServesWhatWasNotAskedFor, Some(peer), _) => {
                Serve::Block(peer, BlockRef { piece: PieceIndex(99), begin: 0, length: 1 })
            }
            (Flaw::ServesNobody, ..) => Serve::Nobody,
            (Flaw::CapsAtNothing, ..) => Serve::ByShare,
            (_, Some(peer), _) => Serve::Peer(peer),
            (_, None, _) => Serve::Nobody,
        }
    }
}

/// A policy may divide by the length of a piece, and index by what a peer asks for.
fn believe(queue: &RequestQueue, swarm: &SwarmView<'_>) {
    let peer = swarm.peer(queue.peer).expect("who waits is connected");
    assert!(!peer.am_choking);
    assert_eq!(peer.queued as usize, queue.requests.len());
    for block in &queue.requests {
        assert!(block.piece.0 < peer.pieces.pieces() && !peer.pieces.contains(block.piece));
        assert_eq!((block.begin + block.length - 1) / swarm.own().piece_length, 0);
    }
}

fn subject(flaw: Flaw) -> Subject {
    Subject::new("two", move || Box::new(Two { flaw, next_round: Instant::ZERO, gone: None }))
}

bt_api::testkit::choke_conformance!(a_good_policy = subject(Flaw::None));

macro_rules! broken {
    ($($test:ident: $flaw:ident breaks $promise:literal;)*) => {
        $(
            #[test]
            fn $test() {
                assert_eq!(broken_promises(PROMISES, &subject(Flaw::$flaw)), [$promise]);
            }
        )*
    };
}

broken! {
    a_panic: PanicsWhenAServedPeerLeaves breaks "survives_any_history";
    a_panic_at_the_start: PanicsWithoutPeers breaks "survives_any_history";
    the_gone: RemembersTheGone breaks "serves_only_connected_peers";
    one_too_many: ServesOneTooMany breaks "serves_no_more_interested_peers_than_it_says";
    the_first: GivesPlacesToTheFirst breaks "uninterested_peers_take_no_place";
    anybody: DrawsTheUninterestedToo breaks "uninterested_peers_take_no_place";
    the_same_round: NeverMovesItsRound breaks "rounds_move_on";
    the_same_round_alone: MovesItsRoundOnlyForPeers breaks "rounds_move_on";
    chance_from_elsewhere: DrawsFromElsewhere breaks "the_same_seed_gives_the_same_answers";
    nobody_waits: ServesWhoDoesNotWait breaks "serve_answers_only_waiting_peers";
    nothing_asked: ServesWhatWasNotAskedFor breaks "serve_answers_only_blocks_that_wait";
    a_seed: PanicsAtASeed breaks "survives_any_history";
    nobody_served: ServesNobody breaks "sends_blocks_to_whom_it_unchokes";
    nothing_a_second: CapsAtNothing breaks "sends_blocks_to_whom_it_unchokes";
    a_reason: GivesAReasonOfItsOwn breaks "reasons_are_of_the_list_or_under_its_own_name";
}
