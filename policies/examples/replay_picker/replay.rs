//! One recorded scenario of the piece picker: what the engine would do around `rarest-first` and its table.

use std::collections::BTreeSet;

use bt_api::rng::{self, Generator};
use bt_api::{
    Instant, OwnFacts, PeerFacts, PeerKey, Pick, PieceEvent, PieceIndex, PiecePolicy, PieceSet, PieceView,
    Pieces, SwarmView,
};
use bt_policies::piece::rarest_first::{Config, RarestFirst};
use serde::Deserialize;

/// What is random must come out every way in so many runs: of 60 equals each does, but for one time in ten million.
const SEEDS: u64 = 1000;

/// Recordings are of tens of pieces; more would take long.
const MOST_PIECES: u32 = 4096;

/// A scenario as it is recorded.
#[derive(Deserialize)]
pub(crate) struct Scenario {
    pieces: u32,
    rarest_first_cutoff: u32,
    events: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Event {
    Have { piece: u32 },
    LostHave { piece: u32 },
    Requested { piece: u32, from_seed: bool },
    Complete { piece: u32 },
    Next { wanted: BTreeSet<u32>, peer_is_seed: bool, none_seen: bool, answers_seen: BTreeSet<u32> },
}

impl Event {
    fn pieces(&self) -> impl Iterator<Item = u32> + '_ {
        let (one, many) = match self {
            Self::Have { piece }
            | Self::LostHave { piece }
            | Self::Requested { piece, .. }
            | Self::Complete { piece } => (Some(*piece), None),
            Self::Next { wanted, answers_seen, .. } => (None, Some(wanted.union(answers_seen).copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

/// Replays `scenario` once for each seed; says how its answers differ from what is recorded.
pub(crate) fn replay(scenario: &Scenario) -> Vec<String> {
    if scenario.pieces > MOST_PIECES {
        return vec![format!("{} pieces are more than are replayed, {MOST_PIECES}", scenario.pieces)];
    }
    let mut known = Known::default();
    for (number, event) in scenario.events.iter().enumerate() {
        let told = |difference| vec![format!("event {}: {difference}", number + 1)];
        if let Some(piece) = event.pieces().find(|&piece| piece >= scenario.pieces) {
            return told(format!("there is no piece {piece} of {}", scenario.pieces));
        }
        if let Err(difference) = known.event(event) {
            return told(difference);
        }
    }
    let mut answers = vec![BTreeSet::new(); scenario.events.len()];
    for seed in 0..SEEDS {
        let mut client = Client::new(scenario, seed);
        for (event, answers) in scenario.events.iter().zip(&mut answers) {
            match event {
                Event::Next { wanted, peer_is_seed, .. } => {
                    answers.insert(client.next(wanted, *peer_is_seed));
                }
                other => client.event(other),
            }
        }
    }
    judge(scenario, &answers)
}

/// How the `answers` of all runs to each event differ from what is recorded.
fn judge(scenario: &Scenario, answers: &[BTreeSet<Option<u32>>]) -> Vec<String> {
    let mut known = Known::default();
    let mut differences = Vec::new();
    for (number, (event, answers)) in scenario.events.iter().zip(answers).enumerate() {
        let told = |difference| format!("event {}: {difference}", number + 1);
        let Event::Next { wanted, peer_is_seed, none_seen, answers_seen } = event else {
            known.event(event).expect("looked at before");
            continue;
        };
        let young = known.complete.len() < scenario.rarest_first_cutoff as usize;
        let wrong = |answer: &&Option<u32>| match **answer {
            None => !none_seen,
            Some(piece) => !known.agrees(piece, wanted, *peer_is_seed, young, answers_seen),
        };
        for &answer in answers.iter().filter(wrong) {
            let found = answer.map_or("none".to_owned(), |piece| piece.to_string());
            let of = if *none_seen { "none or of" } else { "of" };
            differences.push(told(format!("the answer is {found}, recorded are {of} {answers_seen:?}")));
        }
        for &piece in answers_seen.iter().filter(|&&piece| !answers.contains(&Some(piece))) {
            differences.push(told(format!("{piece} is no answer in {SEEDS} runs, but was recorded")));
        }
    }
    differences
}

/// What the events say by themselves: the judge knows no more of pieces than the recording does.
#[derive(Default)]
struct Known {
    /// The peers that have each piece.
    peers: std::collections::BTreeMap<u32, u32>,
    complete: BTreeSet<u32>,
    started: BTreeSet<u32>,
    started_by_seed: BTreeSet<u32>,
}

impl Known {
    fn event(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Have { piece } => *self.peers.entry(piece).or_default() += 1,
            Event::LostHave { piece } => match self.peers.get_mut(&piece) {
                Some(peers) if *peers > 0 => *peers -= 1,
                // Of a piece that is complete nobody counts peers any more (PP-5).
                _ if self.complete.contains(&piece) => {}
                _ => return Err(format!("piece {piece} is lost by a peer where none has it")),
            },
            Event::Requested { piece, from_seed } => {
                self.started.insert(piece);
                if from_seed {
                    self.started_by_seed.insert(piece);
                }
            }
            Event::Complete { piece } => {
                if !self.complete.insert(piece) {
                    return Err(format!("piece {piece} is complete already"));
                }
            }
            Event::Next { .. } => {}
        }
        Ok(())
    }

    /// Whether `piece` is as good an answer as one that was recorded: ties were broken by an order that is not.
    fn agrees(
        &self,
        piece: u32,
        wanted: &BTreeSet<u32>,
        peer_is_seed: bool,
        young: bool,
        recorded: &BTreeSet<u32>,
    ) -> bool {
        let begun = if peer_is_seed { &self.started_by_seed } else { &self.started };
        let any_goes = young && wanted.is_disjoint(begun);
        let kind = |piece: &u32| (begun.contains(piece), self.peers.get(piece).copied().unwrap_or(0));
        recorded.contains(&piece)
            || wanted.contains(&piece)
                && (any_goes && !recorded.is_empty()
                    || recorded.iter().any(|member| kind(member) == kind(&piece)))
    }
}

/// A client around one picker.
struct Client {
    policy: RarestFirst,
    pieces: Pieces,
    own: OwnFacts,
    table_rng: Generator,
    policy_rng: Generator,
}

/// Whoever is spoken of: the recording does not tell peers apart.
const PEER: PeerKey = PeerKey(0);

impl Client {
    fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut table_rng = rng::stream(seed, 0, "pieces");
        // One piece more, which nobody wants: so a peer that could give every piece of the recording and is no seed
        // lacks one. And in each piece more blocks than are asked for, so that none runs out of them.
        let count = scenario.pieces + 1;
        let blocks = scenario.events.len() as u32 + 1;
        let total = u64::from(count) * u64::from(blocks);
        Self {
            policy: RarestFirst::new(Config {
                random_first_pieces: scenario.rarest_first_cutoff,
                ..Config::default()
            }),
            pieces: Pieces::new(total, blocks, 1, PieceSet::new(count), &mut table_rng),
            own: OwnFacts::default(),
            table_rng,
            policy_rng: rng::stream(seed, 0, "piece"),
        }
    }

    /// Does what is recorded, `next` apart.
    fn event(&mut self, event: &Event) {
        match *event {
            Event::Have { piece } => {
                self.pieces.gained(PieceIndex(piece), &mut self.table_rng);
                self.notice(PieceEvent::Announced(PEER, PieceIndex(piece)));
            }
            Event::LostHave { piece } if self.pieces.availability(PieceIndex(piece)) == 0 => {}
            Event::LostHave { piece } => self.pieces.lost(PieceIndex(piece), &mut self.table_rng),
            Event::Requested { piece, from_seed } => {
                // Of a piece that is complete there is nothing to ask for.
                if let Some(block) = self.pieces.request(PieceIndex(piece), PEER, from_seed) {
                    self.notice(PieceEvent::Requested { block, peer: PEER, from_seed });
                }
            }
            Event::Complete { piece } => {
                self.pieces.complete(PieceIndex(piece));
                self.notice(PieceEvent::Completed(PieceIndex(piece)));
            }
            Event::Next { .. } => {}
        }
    }

    /// What the policy would ask a peer for that could give the pieces `wanted`.
    fn next(&mut self, wanted: &BTreeSet<u32>, peer_is_seed: bool) -> Option<u32> {
        let count = self.pieces.count();
        let address = "192.0.2.1:6881".parse().expect("an address");
        let mut facts = PeerFacts::new(PEER, address, true, Instant::ZERO, count);
        let unwanted: Vec<PieceIndex> =
            (0..count).filter(|piece| !wanted.contains(piece)).map(PieceIndex).collect();
        if peer_is_seed {
            facts.pieces = PieceSet::full(count);
        } else {
            wanted.iter().for_each(|&piece| {
                facts.pieces.insert(PieceIndex(piece));
            });
        }
        let swarm = SwarmView::new(&self.own, std::slice::from_ref(&facts));
        let view = PieceView::new(&self.pieces, swarm, false).withholding(&unwanted);
        match self.policy.pick(Instant::ZERO, &facts, &view, &mut self.policy_rng) {
            Pick::Piece(piece) => Some(piece.0),
            Pick::Block(block) => Some(block.piece.0),
            Pick::Nothing => None,
        }
    }

    fn notice(&mut self, event: PieceEvent) {
        let view = PieceView::new(&self.pieces, SwarmView::new(&self.own, &[]), false);
        self.policy.notice(Instant::ZERO, event, &view, &mut self.policy_rng);
    }
}
