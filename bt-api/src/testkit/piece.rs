//! What every piece policy promises, and a driver for tests of one.

mod client;
mod history;

use crate::block::{BlockRef, PieceIndex, PieceSet};
use crate::piece::PiecePolicy;
use crate::testkit::Promise;
use crate::view::PeerKey;

pub use client::{BLOCK, Client, PIECE};

/// A piece policy under test.
pub type Subject = super::Subject<dyn PiecePolicy>;

/// One test for each promise of [`PiecePolicy`] to the policy: see [the kits](crate::testkit).
#[macro_export]
macro_rules! piece_conformance {
    ($name:ident = $subject:expr) => {
        $crate::__conformance!(piece, __piece_promises, $crate::testkit::piece::Subject, $name = $subject);
    };
    ($name:ident : $plugin:ty $(, $table:expr)* $(,)?) => {
        $crate::piece_conformance!($name = $crate::testkit::piece::Subject::of::<$plugin>(&[$($table),*]));
    };
    ($plugin:ty $(, $table:expr)* $(,)?) => {
        $crate::piece_conformance!(piece_conformance: $plugin $(, $table)*);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __piece_promises {
    ($then:ident) => {
        $crate::$then! { piece;
            survives_any_history
            asks_for_no_piece_that_is_held
            asks_for_no_piece_that_the_peer_lacks
            asks_for_nothing_that_is_not_offered
            asks_for_no_block_that_is_none
            asks_once_outside_endgame
            asks_no_peer_twice
            the_last_piece_arrives
            no_piece_starves
            endgame_ends
            wakeups_move_on
            advertises_sets_of_this_torrent
            a_seed_shows_everything
            the_same_seed_gives_the_same_answers
        }
    };
}

/// The promises by name.
pub const PROMISES: &[Promise<Subject>] = __piece_promises! { __conformance_table };

macro_rules! promises_of_histories {
    ($($(#[$doc:meta])* $promise:ident)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Panics
            /// When one of the random histories breaks it.
            pub fn $promise(subject: &Subject) {
                subject.assert_kept(stringify!($promise), history::play_all);
            }
        )*
    };
}

promises_of_histories! {
    /// It does not panic, whatever happens, in whatever order.
    survives_any_history
    /// It asks for no piece that we have.
    asks_for_no_piece_that_is_held
    /// It asks a peer for nothing that the peer has not announced.
    asks_for_no_piece_that_the_peer_lacks
    /// Where only some pieces are offered, as those just freed, it asks for none of the others.
    asks_for_nothing_that_is_not_offered
    /// The block that it names is one: it lies where a block begins, and is as long as a block there.
    asks_for_no_block_that_is_none
    /// Outside endgame it asks for no block that is received or asked of another peer.
    asks_once_outside_endgame
    /// In endgame too it asks no peer for a block again, and for none that is here.
    asks_no_peer_twice
    /// After any history a peer that has everything stays connected and is asked for all that is missing, what failed its
    /// hash included.
    the_last_piece_arrives
    /// After it was asked at its [wake-up](PiecePolicy::next_wakeup), the next one is in the future.
    wakeups_move_on
    /// What it lets a peer know of is a set of this torrent's pieces.
    advertises_sets_of_this_torrent
    /// The same seed and the same events give the same answers, of every method.
    the_same_seed_gives_the_same_answers
}

/// Seeds of the scenes below: enough for a policy that draws to show all that it does.
const SCENES: u64 = 100;
/// The pieces of their torrents.
const PIECES: u32 = 7;

/// Without a seed in the swarm, everything that some peer has is asked for in the end: three peers have a third
/// each, so that no piece is rarer than another.
///
/// # Panics
/// When something is never asked for, although the wake-ups that the policy wants come.
pub fn no_piece_starves(subject: &Subject) {
    for_each_scene(subject, &PieceSet::new(PIECES), |client| {
        let count = client.pieces.count();
        let thirds = [0, 1, 2].map(|third| (0..count).filter(|n| n % 3 == third).collect::<Vec<_>>());
        let peers: Vec<PeerKey> = thirds.iter().filter_map(|third| client.welcome(third)).collect();
        client.exhaust(&peers);
        let missing: Vec<PieceIndex> = client.pieces.have().missing().collect();
        (!missing.is_empty())
            .then(|| format!("the pieces {missing:?} are never asked for of the peers that have them"))
    });
}

/// Where a policy's endgame begins because a peer that was asked for every block is silent, a peer that
/// answers brings all of them.
///
/// # Panics
/// When something is missing in the end.
pub fn endgame_ends(subject: &Subject) {
    for_each_scene(subject, &PieceSet::new(PIECES), |client| {
        let all: Vec<u32> = (0..client.pieces.count()).collect();
        let silent = client.welcome(&all)?;
        while client.ask(silent).is_some() {}
        if !client.endgame() {
            return None;
        }
        let answers = client.welcome(&all)?;
        client.exhaust(&[answers]);
        let left: Vec<BlockRef> = client.pieces.missing_blocks().collect();
        (!left.is_empty()).then(|| format!("in endgame, {left:?} are asked of nobody but a silent peer"))
    });
}

/// A seed does not keep to itself what it has: while peers come that take what they are shown and pass it on among
/// themselves, each piece is shown to somebody. It may show them one by one, and close peers, but not all of them.
///
/// # Panics
/// When a piece is shown to nobody within 500 wake-ups.
pub fn a_seed_shows_everything(subject: &Subject) {
    for_each_scene(subject, &PieceSet::full(PIECES), |client| {
        let mut shown = PieceSet::new(PIECES);
        for _ in 0..500 {
            if client.peers.len() < 3
                && let Some(peer) = client.welcome(&[])
            {
                let facts = client.peer(peer);
                (facts.peer_interested, facts.am_choking) = (true, false);
            }
            let peers: Vec<PeerKey> = client.peers.iter().map(|peer| peer.key).collect();
            for peer in peers {
                let known = client.shown(peer);
                known.iter().for_each(|piece| _ = shown.insert(piece));
                take_one(client, peer, &known);
            }
            // Another promise that is broken on the way has a test of its own.
            if shown.is_full() || client.recorded.as_ref().is_some_and(|broken| !broken.is_empty()) {
                return None;
            }
            client.close_unwanted();
            client.wake();
        }
        let hidden: Vec<PieceIndex> = shown.missing().collect();
        Some(format!("as a seed it never lets any peer know that it has the pieces {hidden:?}"))
    });
}

/// `peer` takes a piece that it knows of from us, or one from another peer; who has everything leaves.
fn take_one(client: &mut Client<Box<dyn PiecePolicy>>, peer: PeerKey, known: &PieceSet) {
    let facts = client.peer(peer);
    if facts.is_seed() {
        return client.leave(peer);
    }
    let has = facts.pieces.clone();
    let ours = known.iter().find(|&piece| !has.contains(piece));
    let others =
        || client.peers.iter().flat_map(|other| other.pieces.iter()).find(|&piece| !has.contains(piece));
    let Some(piece) = ours.or_else(others) else { return };
    if ours.is_some() {
        let length = u64::from(client.pieces.piece_length(piece));
        client.peer(peer).uploaded += length;
        client.own.uploaded += length;
    }
    client.announce(peer, piece.0);
    client.advertise(peer);
}

/// Plays `scene` to the policy, which has the pieces of `have`, with many seeds; it says what broke.
fn for_each_scene(
    subject: &Subject,
    have: &PieceSet,
    scene: impl Fn(&mut Client<Box<dyn PiecePolicy>>) -> Option<String>,
) {
    for (label, build) in &subject.variants {
        for seed in 0..SCENES {
            let mut client = Client::recording(build(), have.clone(), seed, subject.lab_only);
            if let Some(how) = scene(&mut client) {
                panic!("`{}` breaks its promise: {how} (scene {seed}){label}", subject.name);
            }
        }
    }
}
