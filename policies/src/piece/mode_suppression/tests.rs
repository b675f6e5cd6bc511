use bt_api::rng::{self, Generator};
use bt_api::{PieceIndex, PieceSet};
use proptest::prelude::*;

use super::*;
use crate::piece::harness::{self, Client};
use crate::piece::rarest_first::{self, RarestFirst};
use crate::piece::rfwpms::{self, Rfwpms};

/// As it is shipped, but for the threshold.
fn shipped(threshold: u32) -> Config {
    Config { threshold, ..Config::default() }
}

fn client(config: Config, seed: u64) -> Client<ModeSuppression> {
    Client::new(ModeSuppression::new(config).unwrap(), 10, seed)
}

#[test]
fn the_most_frequent_pieces_are_not_begun_though_they_are_useful() {
    let mut client = client(shipped(0), 1);
    let [both, other] = [client.connect(&[0, 1]), client.connect(&[0, 2])];
    let club = client.connect(&[0]);
    assert_eq!(client.pick_piece(club), None, "all three have it");
    assert_eq!((client.pick_piece(both), client.pick_piece(other)), (Some(1), Some(2)));
    let seed = client.connect(&(0..10).collect::<Vec<_>>());
    assert!(client.pick_piece(seed).is_some_and(|piece| piece > 0));
    [both, other, club].into_iter().for_each(|peer| client.leave(peer));
    assert!(client.pick_piece(seed).is_some(), "all are equally frequent");
}

#[test]
fn as_shipped_a_newcomer_takes_nothing_of_the_club_however_long_it_waits() {
    let mut client = client(Config::default(), 1);
    let club: Vec<PeerKey> = (0..20).map(|_| client.connect(&[0, 1, 2, 3, 4, 5, 6, 7, 8])).collect();
    for minutes in [0, 1, 5, 60, 1440] {
        client.now = Instant::from_secs(60 * minutes);
        assert!(club.iter().all(|&peer| client.pick_piece(peer).is_none()), "after {minutes} min");
    }
    let giver = client.connect(&[9]);
    assert_eq!(client.pick_piece(giver), Some(9));
}

#[test]
fn less_than_the_threshold_is_no_difference() {
    for (threshold, expected) in [(0, None), (2, None), (3, Some(0))] {
        let mut client = client(shipped(threshold), 1);
        client.connect(&[0, 1]);
        client.connect(&[0]);
        let peer = client.connect(&[0]);
        assert_eq!(client.pick_piece(peer), expected, "three have it and nobody has 9, T is {threshold}");
    }
}

#[test]
fn our_own_pieces_count_as_what_others_lack() {
    let mut client = client(shipped(0), 1);
    client.complete(5);
    let peers = [client.connect(&[0, 1]), client.connect(&[0, 1])];
    assert_eq!(client.pick_piece(peers[0]), None, "they are to have 5 of us first");
    let begun = client.block(1, 0);
    client.start(peers[1], 1);
    assert_eq!(client.pick_of(peers[0], None), Pick::Piece(begun.piece), "what is begun is finished");
}

#[test]
fn a_sample_stands_for_all_and_stays_while_nothing_comes_of_it() {
    let sample = config::Limit::At(3);
    let mut client = client(Config { sample, ..shipped(0) }, 1);
    let club: Vec<PeerKey> = (0..20).map(|_| client.connect(&[0, 1])).collect();
    client.connect(&[0, 1, 2]);
    // Whoever is drawn has 0 and 1, and one who is connected has 2.
    assert!((0..50).all(|_| client.pick_piece(club[0]).is_none()));
    let wakeup = client.policy.next_wakeup().expect("it wants to draw anew");
    assert_eq!(wakeup, Instant::from_secs(5));
    client.now = wakeup;
    client.advertise(club[0]);
    assert_eq!(client.policy.next_wakeup(), None, "what has come does not come again");
    assert_eq!(client.pick_piece(club[0]), None);
    assert_eq!(client.policy.next_wakeup(), Some(Instant::from_secs(10)));
}

#[test]
fn patience_ends_for_one_piece_and_the_clock_with_the_last_peer() {
    let mut client =
        client(Config { patience: config::Limit::At(config::Duration::secs(7)), ..shipped(0) }, 1);
    client.complete(9);
    let peer = client.connect(&[0, 1]);
    client.connect(&[0, 1]);
    assert_eq!(client.pick_piece(peer), None);
    client.now = client.policy.next_wakeup().expect("a new draw");
    assert_eq!(client.pick_piece(peer), None);
    client.now = client.policy.next_wakeup().expect("the end of patience");
    assert_eq!(client.now, Instant::from_secs(7));
    let piece = client.pick_piece(peer).expect("one piece");
    client.start_all(peer, piece);
    assert_eq!(client.policy.next_wakeup(), None);
    assert_eq!(client.pick_piece(peer), None, "and patience begins anew");
    assert!(client.policy.next_wakeup().is_some());
    while client.policy.next_wakeup().is_some() {
        let gone = if client.pieces.availability(PieceIndex(0)) == 2 { peer } else { PeerKey(1) };
        client.leave(gone);
    }
    assert_eq!(client.pieces.availability(PieceIndex(0)), 0);
}

#[test]
fn bad_values_are_refused() {
    let never = config::Duration::secs(0);
    let wrong = [
        Config { sample: config::Limit::At(0), ..Config::default() },
        Config { redraw: never, ..Config::default() },
        Config { patience: config::Limit::At(never), ..Config::default() },
    ];
    assert!(wrong.into_iter().all(|config| ModeSuppression::new(config).is_err()));
}

/// How many peers there are in the end, and how many there were at most, in the model of Hajek and Zhu: at first 60 peers
/// lack nothing but piece 0. In each step, of 5 s, two newcomers arrive, one seed offers itself to one peer, and every peer
/// offers itself to another. Each such contact moves one piece, if the policy of who gets it wants one, which sees its
/// contact and three others; who is complete leaves.
fn population<P: PiecePolicy>(policy: impl Fn() -> P, steps: u32) -> (usize, usize) {
    const PIECES: u32 = 5;
    let mut rng = rng::stream(1, 0, "model");
    let newcomer = |rng: &mut Generator, have: &[u32]| {
        let mut peer = Client::new(policy(), PIECES, rng::below(rng, u32::MAX).into());
        have.iter().for_each(|&piece| peer.complete(piece));
        peer
    };
    let mut peers: Vec<Client<P>> = (0..60).map(|_| newcomer(&mut rng, &[1, 2, 3, 4])).collect();
    let mut most = peers.len();
    for step in 0..steps {
        peers.extend((0..2).map(|_| newcomer(&mut rng, &[])));
        most = most.max(peers.len());
        for contact in 0..=peers.len() {
            if peers.is_empty() {
                break;
            }
            let mut draw = || rng::below(&mut rng, peers.len() as u32) as usize;
            let (to, from) = (draw(), contact.checked_sub(1).map(|_| draw()));
            let others = [draw(), draw(), draw()];
            let held = |peer: usize| peers[peer].pieces.have().iter().map(|piece| piece.0).collect();
            let sets: Vec<Vec<u32>> = [from.map_or_else(|| (0..PIECES).collect(), held)]
                .into_iter()
                .chain(others.map(held))
                .collect();
            let getter = &mut peers[to];
            getter.now = Instant::from_secs(u64::from(5 * step));
            let keys: Vec<PeerKey> = sets.iter().map(|pieces| getter.connect(pieces)).collect();
            if let Some(piece) = getter.pick_piece(keys[0]) {
                getter.start_all(keys[0], piece);
                getter.complete(piece);
            }
            keys.into_iter().for_each(|key| getter.leave(key));
            if getter.pieces.have().is_full() {
                peers.swap_remove(to);
            }
        }
    }
    (peers.len(), most)
}

#[test]
fn one_seed_and_a_club_that_lacks_one_piece_stay_bounded_where_rarest_first_grows() {
    let rarest = || RarestFirst::new(rarest_first::Config { random_first_pieces: 0, ..Default::default() });
    let (grown, _) = population(rarest, 150);
    assert!(grown > 140, "two come for each one that the seed can serve: {grown}");
    let (left, most) = population(|| ModeSuppression::new(Config::default()).unwrap(), 150);
    assert!(left < 40 && most < 100, "{left} of at most {most}");
    let (left, _) = population(|| Rfwpms::new(rfwpms::Config::default()).unwrap(), 150);
    assert!(left < grown / 2, "{left}, not {grown}");
}

/// As in the promises of the trait, and never a fresh piece of the mode.
fn holds_its_rule(config: &Config, seed: u64, pieces: [&PieceSet; 3]) {
    let mut client = client(config.clone(), seed);
    let sets = pieces.map(|pieces| pieces.iter().map(|piece| piece.0).collect::<Vec<_>>());
    let peers = [0, 1, 2].map(|peer| client.connect(&sets[peer]));
    for peer in peers {
        let count = |piece: u32| client.pieces.availability(PieceIndex(piece));
        let most = (0..10).map(count).max().expect("ten pieces");
        let least = (0..10).map(count).min().expect("ten pieces");
        let picked =
            client.pick_piece(peer).map(|piece| (piece, client.pieces.availability(PieceIndex(piece))));
        assert!(
            picked.is_none_or(|(_, count)| count < most || most - least <= config.threshold),
            "{picked:?}"
        );
    }
}

proptest! {
    #[test]
    fn nothing_of_the_mode_is_begun(
        threshold in 0_u32..3, seed in any::<u64>(), bits in prop::array::uniform3(any::<u16>()),
    ) {
        let sets = bits.map(|bits| {
            let mut set = PieceSet::new(10);
            (0..10).filter(|bit| bits >> bit & 1 == 1).for_each(|bit| _ = set.insert(PieceIndex(bit)));
            set
        });
        holds_its_rule(&shipped(threshold), seed, [&sets[0], &sets[1], &sets[2]]);
    }

    #[test]
    fn any_history_keeps_the_promises_and_ends(
        threshold in 0_u32..3, estimates: bool, impatient: bool, endgame: bool,
        seed in any::<u64>(), ops in harness::history(),
    ) {
        let mut config = Config { endgame, ..shipped(threshold) };
        if estimates {
            config.sample = config::Limit::At(3);
        }
        if impatient {
            config.patience = config::Limit::At(config::Duration::secs(60));
        }
        let policy = || ModeSuppression::new(config.clone()).unwrap();
        prop_assert_eq!(harness::play(policy(), seed, &ops), harness::play(policy(), seed, &ops));
    }
}
