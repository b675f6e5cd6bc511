//! What every choke policy promises, and a driver for tests of one.
//!
//! ```
//! # use bt_api::plugin::{BuildError, Choke, Plugin};
//! use bt_api::testkit::choke::Client;
//! use bt_api::{PeerKey, Reason};
//! # use bt_api::{Cause, ChokePolicy, Instant, Notice, PeerEvent, Rng, Serve, SwarmView, Unchokes, Waiting};
//! # struct Everyone(Instant);
//! # impl ChokePolicy for Everyone {
//! #     fn next_round(&self) -> Instant { self.0 }
//! #     fn max_interested(&self) -> usize { usize::MAX }
//! #     fn notice(&mut self, _: Instant, _: PeerEvent<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
//! #         Notice::Nothing
//! #     }
//! #     fn choose(&mut self, now: Instant, _: Cause, swarm: &SwarmView<'_>, _: &mut dyn Rng, to: &mut Unchokes) {
//! #         self.0 = now + std::time::Duration::from_secs(10);
//! #         swarm.peers().iter().for_each(|peer| to.push(peer.key, Reason::EVERYONE));
//! #     }
//! #     fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
//! #         Serve::ByShare
//! #     }
//! # }
//! let mut client = Client::new(Everyone(Instant::ZERO), 1);
//! client.connect(PeerKey(1));
//! client.interest(PeerKey(1), true);
//! client.tick();
//! assert!(!client.peer(PeerKey(1)).am_choking);
//! assert_eq!(client.log.last().unwrap()[0].reason, Reason::EVERYONE);
//! ```

mod client;
mod history;

use std::collections::VecDeque;
use std::time::Duration;

use crate::block::{BlockRef, PieceIndex};
use crate::choke::{ChokePolicy, PeerEvent, RequestQueue};
use crate::testkit::Promise;
use crate::view::PeerKey;

pub use client::Client;

/// A choke policy under test.
pub type Subject = super::Subject<dyn ChokePolicy>;

/// One test for each promise of [`ChokePolicy`] to the policy: see [the kits](crate::testkit).
#[macro_export]
macro_rules! choke_conformance {
    ($name:ident = $subject:expr) => {
        $crate::__conformance!(choke, __choke_promises, $crate::testkit::choke::Subject, $name = $subject);
    };
    ($name:ident : $plugin:ty $(, $table:expr)* $(,)?) => {
        $crate::choke_conformance!($name = $crate::testkit::choke::Subject::of::<$plugin>(&[$($table),*]));
    };
    ($plugin:ty $(, $table:expr)* $(,)?) => {
        $crate::choke_conformance!(choke_conformance: $plugin $(, $table)*);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __choke_promises {
    ($then:ident) => {
        $crate::$then! { choke;
            survives_any_history
            serves_only_connected_peers
            serves_no_more_interested_peers_than_it_says
            uninterested_peers_take_no_place
            rounds_move_on
            the_same_seed_gives_the_same_answers
            serve_answers_only_waiting_peers
            serve_answers_only_blocks_that_wait
            sends_blocks_to_whom_it_unchokes
            reasons_are_of_the_list_or_under_its_own_name
        }
    };
}

/// The promises by name.
pub const PROMISES: &[Promise<Subject>] = __choke_promises! { __conformance_table };

macro_rules! promises_of_histories {
    ($($(#[$doc:meta])* $promise:ident)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Panics
            /// When one of ten thousand random histories breaks it.
            pub fn $promise(subject: &Subject) {
                subject.assert_kept(stringify!($promise), history::play_all);
            }
        )*
    };
}

promises_of_histories! {
    /// It does not panic, whatever happens, in whatever order: peers come and go at any moment.
    survives_any_history
    /// A round serves nobody who is gone or never was.
    serves_only_connected_peers
    /// A round serves at most [`max_interested`](ChokePolicy::max_interested) peers that are interested.
    serves_no_more_interested_peers_than_it_says
    /// After a round by the clock the next one is in the future.
    rounds_move_on
    /// The same seed and the same events give the same answers: chance comes from `rng`, time from `now`, and
    /// nothing else decides.
    the_same_seed_gives_the_same_answers
    /// [`serve`](ChokePolicy::serve) names peers that wait for a block, or nobody.
    serve_answers_only_waiting_peers
    /// A block that `serve` names was asked for by its peer, and waits.
    serve_answers_only_blocks_that_wait
    /// A reason is one of the constants of [`Reason`](crate::Reason), or begins with the policy's own name.
    reasons_are_of_the_list_or_under_its_own_name
}

/// Peers that want nothing take no place from one that does: an interested peer is served about as often beside forty
/// uninterested ones, which came before it, as while it is alone.
///
/// # Panics
/// When it is served in less than half as many of 300 rounds.
pub fn uninterested_peers_take_no_place(subject: &Subject) {
    for (label, build) in &subject.variants {
        for is_seed in [false, true] {
            let [alone, beside] = [0, 40].map(|others| rounds_served(build(), others, is_seed));
            if 2 * beside < alone {
                let what = if is_seed { "a seed" } else { "a leecher" };
                panic!(
                    "`{}` breaks its promise: as {what} it serves an interested peer that is alone in {alone} of \
                     {ROUNDS} rounds, and beside forty uninterested ones in {beside}{label}",
                    subject.name
                );
            }
        }
    }
}

/// To unchoke is to serve: a peer that is unchoked and asks for blocks, while nobody else does, is sent one within
/// ten minutes. Policies that serve nobody unchoke nobody.
///
/// # Panics
/// When it is sent none, to a leecher's peer, which gives a block a second, or to a seed's.
pub fn sends_blocks_to_whom_it_unchokes(subject: &Subject) {
    for (label, build) in &subject.variants {
        for is_seed in [false, true] {
            let seconds = waits_in_vain(build(), is_seed);
            if seconds > 0 {
                let what = if is_seed { "a seed" } else { "a leecher" };
                panic!(
                    "`{}` breaks its promise: as {what} it unchokes a peer for {seconds} s, and sends it none of the \
                     blocks that it asks for{label}",
                    subject.name
                );
            }
        }
    }
}

/// For how many seconds of ten minutes the only peer was unchoked, if it was sent nothing in them.
fn waits_in_vain(policy: Box<dyn ChokePolicy>, is_seed: bool) -> u32 {
    const PIECES: u32 = 2;
    let mut client = Client::recording(policy, 1);
    (client.own.is_seed, client.pieces) = (is_seed, PIECES);
    let peer = PeerKey(0);
    let length = client.own.piece_length;
    let blocks = VecDeque::from([BlockRef { piece: PieceIndex(0), begin: 0, length }]);
    client.connect(peer);
    client.announce(peer, PieceIndex(1));
    client.interest(peer, true);
    let mut unchoked = 0;
    for _ in 0..600 {
        if client.peer(peer).am_choking {
            client.peer(peer).queued = 0;
        } else {
            unchoked += 1;
            if client.peer(peer).queued == 0 {
                client.peer(peer).queued = 1;
                client.event(PeerEvent::Requested(peer));
            }
            let queue = RequestQueue { peer, ready: true, requests: blocks.clone() };
            // Another promise that is broken on the way has a test of its own.
            if client.serve(&[queue]).is_some() || client.recorded.as_ref().is_some_and(|one| !one.is_empty())
            {
                return 0;
            }
        }
        if !is_seed {
            client.give(peer, length);
        }
        client.pass(client.now + Duration::from_secs(1));
    }
    unchoked
}

/// How many rounds a peer may wait for its turn.
const ROUNDS: u32 = 300;

/// In how many of the rounds the one interested peer is served while so many others want nothing.
fn rounds_served(policy: Box<dyn ChokePolicy>, uninterested: u32, is_seed: bool) -> u32 {
    let mut client = Client::recording(policy, 1);
    client.own.is_seed = is_seed;
    let eager = PeerKey(uninterested);
    (0..=uninterested).for_each(|peer| client.connect(PeerKey(peer)));
    client.interest(eager, true);
    let served = (0..ROUNDS).filter(|_| {
        // One without a clock has no further round.
        client.tick();
        !client.peer(eager).am_choking
    });
    served.count() as u32
}
