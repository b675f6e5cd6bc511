//! The kit of piece policies: a good policy keeps every promise, and each of these broken ones breaks the one meant.

use std::sync::atomic::{AtomicU32, Ordering};

use bt_api::testkit::broken_promises;
use bt_api::testkit::piece::{PROMISES, Subject};
use bt_api::{
    Advertise, BlockRef, Instant, PeerFacts, PeerKey, Pick, PieceEvent, PieceIndex, PiecePolicy, PieceSet,
    PieceView, Rng, rng,
};

/// What is wrong with a policy; much of it shows only after a piece failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    PanicsAtAFailure,
    AsksForWhatIsHeld,
    AsksForWhatThePeerLacks,
    AsksForWhatIsNotOffered,
    CutsBlocksAnew,
    AsksTwiceOutsideEndgame,
    AsksAPeerTwice,
    GivesUpWhatFailed,
    WaitsForASeed,
    AsksNothingInEndgame,
    WakesWithoutEnd,
    ShowsASetOfAnotherTorrent,
    DrawsFromElsewhere,
    ShowsByChanceFromElsewhere,
    ShowsNothing,
    ClosesEverybody,
    ClosesEverybodyAsASeed,
}

/// Asks for the lowest piece that is offered; once all is asked for, for a block drawn from all that is missing.
struct Lowest {
    flaw: Flaw,
    failed: Option<PieceIndex>,
}

impl Lowest {
    /// What a good policy does not ask for.
    fn wrong(&self, peer: &PeerFacts, view: &PieceView<'_>) -> Option<Pick> {
        let pieces = view.pieces();
        self.failed?;
        match self.flaw {
            Flaw::AsksForWhatIsHeld => pieces.have().iter().next().map(Pick::Piece),
            Flaw::AsksForWhatThePeerLacks => {
                pieces.open().iter().find(|&piece| !peer.pieces.contains(piece)).map(Pick::Piece)
            }
            Flaw::CutsBlocksAnew => {
                let piece = pieces.open().iter().find(|&piece| peer.pieces.contains(piece))?;
                let block = pieces.open_blocks(piece).next()?;
                Some(Pick::Block(BlockRef { begin: block.begin + 1, ..block }))
            }
            Flaw::AsksAPeerTwice if view.endgame() => pieces
                .missing_blocks()
                .find(|&block| pieces.is_requested_of(block, peer.key))
                .map(Pick::Block),
            _ => None,
        }
    }
}

impl PiecePolicy for Lowest {
    fn pick(&mut self, _: Instant, peer: &PeerFacts, view: &PieceView<'_>, rng: &mut dyn Rng) -> Pick {
        if let Some(wrong) = self.wrong(peer, view) {
            return wrong;
        }
        if self.flaw == Flaw::WaitsForASeed && !peer.is_seed() {
            return Pick::Nothing;
        }
        let pieces = view.pieces();
        let mut offered: Vec<PieceIndex> = match self.flaw {
            Flaw::AsksForWhatIsNotOffered => {
                pieces.open().iter().filter(|&piece| peer.pieces.contains(piece)).collect()
            }
            _ => pieces.open().iter().filter(|&piece| view.offers(peer, piece)).collect(),
        };
        match self.flaw {
            Flaw::GivesUpWhatFailed => offered.retain(|piece| Some(*piece) != self.failed),
            Flaw::DrawsFromElsewhere => {
                static CALLS: AtomicU32 = AtomicU32::new(0);
                let by = CALLS.fetch_add(1, Ordering::Relaxed) as usize;
                let count = offered.len().max(1);
                offered.rotate_left(by % count);
            }
            _ => {}
        }
        if let Some(&piece) = offered.first() {
            return Pick::Piece(piece);
        }
        let again = self.flaw == Flaw::AsksTwiceOutsideEndgame && view.only().is_none();
        if (view.endgame() && self.flaw != Flaw::AsksNothingInEndgame) || again {
            let missing: Vec<BlockRef> = view.missing_blocks_of(peer).collect();
            return rng::choose(rng, &missing).map_or(Pick::Nothing, |&block| Pick::Block(block));
        }
        Pick::Nothing
    }

    fn notice(&mut self, _: Instant, event: PieceEvent, _: &PieceView<'_>, _: &mut dyn Rng) {
        if let PieceEvent::Failed(piece) = event {
            assert_ne!(self.flaw, Flaw::PanicsAtAFailure, "piece {piece} is bad");
            self.failed = Some(piece);
        }
    }

    fn endgame(&mut self, view: &PieceView<'_>) -> bool {
        let begun = view.pieces().open_bytes() == 0 && view.pieces().left() > 0;
        begun && self.flaw != Flaw::AsksTwiceOutsideEndgame
    }

    fn next_wakeup(&self) -> Option<Instant> {
        (self.flaw == Flaw::WakesWithoutEnd).then_some(Instant::ZERO)
    }

    fn advertise(&mut self, _: Instant, _: PeerKey, view: &PieceView<'_>, _: &mut dyn Rng) -> Advertise {
        match self.flaw {
            Flaw::ShowsASetOfAnotherTorrent => Advertise::Only(PieceSet::new(view.pieces().count() + 1)),
            Flaw::ShowsByChanceFromElsewhere => {
                static CALLS: AtomicU32 = AtomicU32::new(0);
                let odd = CALLS.fetch_add(1, Ordering::Relaxed) % 3 == 1;
                if odd { Advertise::All } else { Advertise::Only(PieceSet::full(view.pieces().count())) }
            }
            Flaw::ShowsNothing => Advertise::Only(PieceSet::new(view.pieces().count())),
            Flaw::ClosesEverybody => Advertise::Close,
            Flaw::ClosesEverybodyAsASeed if view.swarm().own().is_seed => Advertise::Close,
            _ => Advertise::All,
        }
    }
}

fn subject(flaw: Flaw) -> Subject {
    Subject::new("lowest", move || Box::new(Lowest { flaw, failed: None }))
}

bt_api::testkit::piece_conformance!(a_good_policy = subject(Flaw::None));

macro_rules! broken {
    ($($test:ident: $flaw:ident breaks $($promise:literal),+;)*) => {
        $(
            #[test]
            fn $test() {
                assert_eq!(broken_promises(PROMISES, &subject(Flaw::$flaw)), [$($promise),+]);
            }
        )*
    };
}

broken! {
    a_panic: PanicsAtAFailure breaks "survives_any_history";
    the_held: AsksForWhatIsHeld breaks "asks_for_no_piece_that_is_held";
    the_lacking: AsksForWhatThePeerLacks breaks "asks_for_no_piece_that_the_peer_lacks";
    not_offered: AsksForWhatIsNotOffered breaks "asks_for_nothing_that_is_not_offered";
    no_block: CutsBlocksAnew breaks "asks_for_no_block_that_is_none";
    twice: AsksTwiceOutsideEndgame breaks "asks_once_outside_endgame";
    twice_of_one_peer: AsksAPeerTwice breaks "asks_no_peer_twice";
    given_up: GivesUpWhatFailed breaks "the_last_piece_arrives";
    starved: WaitsForASeed breaks "no_piece_starves";
    endless_endgame: AsksNothingInEndgame breaks "endgame_ends";
    sleepless: WakesWithoutEnd breaks "wakeups_move_on";
    another_torrent: ShowsASetOfAnotherTorrent breaks "advertises_sets_of_this_torrent";
    shown_by_chance: ShowsByChanceFromElsewhere breaks "the_same_seed_gives_the_same_answers";
    nothing_shown: ShowsNothing breaks "a_seed_shows_everything";
    nobody_kept: ClosesEverybody breaks "the_last_piece_arrives", "no_piece_starves", "a_seed_shows_everything";
    nobody_kept_by_a_seed: ClosesEverybodyAsASeed breaks "a_seed_shows_everything";
    chance_from_elsewhere: DrawsFromElsewhere breaks "the_same_seed_gives_the_same_answers";
}
