//! Random histories of a picker: a small swarm whose peers come, go, choke, announce, and send good and bad pieces.

use super::Subject;
use super::client::{Answer, Client};
use crate::block::{PieceIndex, PieceSet};
use crate::piece::PiecePolicy;
use crate::rng::{self, below};
use crate::testkit::Broken;
use crate::testkit::subject::panic_of;
use crate::testkit::told::Told;
use crate::view::PeerKey;

/// How many histories are played.
const HISTORIES: u64 = 2000;

/// The pieces of their torrent.
const PIECES: u32 = 12;

/// Plays all histories, each twice; the first breach of each promise. Short histories come first, so that
/// what breaks early is shown by a short one.
pub(super) fn play_all(subject: &Subject, build: &dyn Fn() -> Box<dyn PiecePolicy>) -> Vec<Broken> {
    let mut found: Vec<Broken> = Vec::new();
    for seed in 0..HISTORIES {
        let steps = 2 + seed * 250 / HISTORIES;
        let (answers, mut broken, told) = play(build(), seed, steps, subject.lab_only);
        if answers != play(build(), seed, steps, subject.lab_only).0 {
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

/// What was answered, in order; what broke; the last steps in words. One run in eight is a seed's from the start.
fn play(
    policy: Box<dyn PiecePolicy>,
    seed: u64,
    steps: u64,
    lab_only: bool,
) -> (Vec<Answer>, Vec<Broken>, String) {
    let have = if seed % 8 == 7 { PieceSet::full(PIECES) } else { PieceSet::new(PIECES) };
    let mut client = Client::recording(policy, have, seed, lab_only);
    let mut rng = rng::stream(seed, 0, "history");
    let mut told = Told::default();
    let panic = panic_of(|| {
        for _ in 0..steps {
            let drawn = [18, 5, PIECES].map(|bound| below(&mut rng, bound));
            let what = step(&mut client, drawn);
            client.close_unwanted();
            told.tell(what);
            told.explain(client.recorded.as_deref_mut().unwrap_or_default());
        }
        finish(&mut client);
    });
    let mut broken = client.recorded.take().unwrap_or_default();
    match panic {
        Some(said) => {
            let how = format!("it panicked: {said}");
            broken.push(Broken { promise: "survives_any_history", how });
        }
        None if broken.is_empty() && !client.pieces.have().is_full() => {
            let missing: Vec<PieceIndex> = client.pieces.have().missing().collect();
            let how = format!("of a seed, the only peer, it never asked for the pieces {missing:?}");
            broken.push(Broken { promise: "the_last_piece_arrives", how });
        }
        None => {}
    }
    told.explain(&mut broken);
    (client.answers, broken, told.words())
}

/// Something happens, as it was `drawn`: what, to which of the peers, with which piece.
fn step(client: &mut Client<Box<dyn PiecePolicy>>, drawn: [u32; 3]) -> String {
    let [what, peer, piece] = drawn;
    let Some(key) = client.peers.get(peer as usize).map(|peer| peer.key) else {
        let pieces: Vec<u32> = (0..PIECES).filter(|one| piece == 0 || one % 3 == piece % 3).collect();
        let key = client.connect(&pieces);
        client.advertise(key);
        return format!("{key} connects with {pieces:?}");
    };
    match what {
        0 => {
            client.leave(key);
            format!("{key} leaves")
        }
        1 => {
            let freed: Vec<PieceIndex> = client.requests_of(key).iter().map(|block| block.piece).collect();
            client.choke(key);
            client.endgame();
            ask_others_for(client, key, &freed);
            format!("{key} chokes us")
        }
        2..=4 => {
            client.announce(key, piece);
            client.advertise(key);
            format!("{key} announces {piece}")
        }
        5..=9 => {
            let block = client.ask(key);
            format!("{key} is asked for {block:?}")
        }
        10 => {
            client.deliver(key, false);
            format!("{key} sends bad bytes")
        }
        11 if client.pieces.have().contains(PieceIndex(piece)) => {
            client.forget(piece);
            format!("piece {piece} is lost")
        }
        11 => {
            client.wake();
            "time passes".to_owned()
        }
        12 => {
            let facts = client.peer(key);
            facts.peer_interested = !facts.peer_interested && !facts.is_seed();
            format!("{key} is interested: {}", facts.peer_interested)
        }
        13 => {
            let facts = client.peer(key);
            facts.am_choking = !facts.am_choking;
            format!("we choke {key}: {}", facts.am_choking)
        }
        _ => {
            let before = client.pieces.have().count();
            client.deliver(key, true);
            if client.pieces.have().count() > before {
                let peers: Vec<PeerKey> = client.peers.iter().map(|peer| peer.key).collect();
                peers.into_iter().for_each(|peer| _ = client.advertise(peer));
            }
            format!("{key} sends a block")
        }
    }
}

/// The others are asked for what `choker` was asked for, and nothing else.
fn ask_others_for(client: &mut Client<Box<dyn PiecePolicy>>, choker: PeerKey, freed: &[PieceIndex]) {
    let others: Vec<PeerKey> =
        client.peers.iter().map(|peer| peer.key).filter(|&key| key != choker).collect();
    for other in others {
        client.ask_of(other, Some(freed));
    }
}

/// All leave, and a seed comes and sends all that it is asked for.
fn finish(client: &mut Client<Box<dyn PiecePolicy>>) {
    while let Some(peer) = client.peers.first() {
        client.leave(peer.key);
    }
    if let Some(seed) = client.welcome(&(0..PIECES).collect::<Vec<_>>()) {
        client.exhaust(&[seed]);
    }
}
