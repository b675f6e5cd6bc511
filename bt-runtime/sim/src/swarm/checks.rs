//! What must hold in every run: a breach is a mistake in the simulator, the engine or a policy, and ends the run.
//!
//! - Nobody finishes sooner than its downlink lets it.
//! - Nobody finishes sooner than what was rare when it came could leave those who held it. Of coded content all that
//!   sources had not sent yet is rare, whatever its name.
//! - The last of a closed flash crowd does not finish before the bound of Kumar and Ross (HotWeb 2006).
//! - Bytes sent are received, on their way, or lost with closed connections; engines count the same.
//! - No link carries more than it can.
//! - No policy answers what cannot be, and no plug-in panics.

use bt_api::{BlockRef, Instant, PieceIndex, PieceSet};
use bt_engine::Engine;

use super::node::Node;
use super::wires::Mail;
use super::{Ended, Swarm};
use crate::Scenario;
use crate::scenario::Group;
use crate::sharing::{LinkId, Sharing};

/// Which of them did not hold, and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(String);

/// What rounding may come to, as a part of a time or of a rate.
const ROUNDING: f64 = 1e-6;

pub(super) struct Checks {
    piece_length: u64,
    total: u64,
    nodes: Vec<Known>,
    /// Who began with something.
    sources: Vec<u32>,
    /// The sum of their uplinks, those who left included.
    sources_up: f64,
    /// The pieces of which something was ever sent.
    sent_ever: PieceSet,
    /// What sources have sent, in bytes; counted of coded content only.
    let_out: Option<u64>,
    /// The bytes on their way.
    under_way: u64,
    /// What is rare to somebody who has nothing, while neither sources nor what was sent changed.
    rare_to_newcomers: Option<Rare>,
    last_completion: Option<Instant>,
    /// Whether somebody could not go on: then the crowd is smaller than its bound has it.
    gave_up: bool,
    broken: Option<String>,
}

/// What is known of a node.
struct Known {
    arrived: Instant,
    up: f64,
    down: f64,
    links: [LinkId; 2],
    gone: bool,
    missing: u64,
    /// What it began with.
    held: PieceSet,
    rare: Rare,
    sent: u64,
    received: u64,
    /// Bytes of pieces that did not match their hash: the engine counts them twice.
    thrown_away: u64,
}

/// Content of which nothing was ever sent.
#[derive(Clone, Copy)]
struct Rare {
    bytes: u64,
    /// What those who hold it can send, in bytes per second.
    up: f64,
    /// [`Checks::sources_up`] at that time.
    sources_up: f64,
}

fn limit(rate: Option<u64>) -> f64 {
    rate.map_or(f64::INFINITY, |rate| rate as f64)
}

impl Checks {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let pieces = scenario.content.pieces();
        Self {
            piece_length: u64::from(scenario.content.piece),
            total: scenario.content.size,
            nodes: Vec::new(),
            sources: Vec::new(),
            sources_up: 0.0,
            sent_ever: PieceSet::new(pieces),
            let_out: scenario.content.coded.then_some(0),
            under_way: 0,
            rare_to_newcomers: None,
            last_completion: None,
            gave_up: false,
            broken: None,
        }
    }

    fn breach(&mut self, message: impl FnOnce() -> String) {
        let message = || format!("an assertion that holds in every run is broken: {}", message());
        self.broken.get_or_insert_with(message);
    }

    /// The first breach so far.
    pub(super) fn first_broken(&mut self) -> Result<(), Broken> {
        self.broken.take().map_or(Ok(()), |message| Err(Broken(message)))
    }

    fn length(&self, piece: PieceIndex) -> u64 {
        self.piece_length.min(self.total - u64::from(piece.0) * self.piece_length)
    }

    pub(super) fn arrived(&mut self, now: Instant, group: &Group, down: Option<u64>, node: &Node) {
        let number = self.nodes.len() as u32;
        let held = node.engine.as_ref().map_or_else(|| PieceSet::new(0), |engine| engine.have().clone());
        let (up, down) = (limit(group.up), limit(down));
        if !held.is_empty() {
            self.sources.push(number);
            self.sources_up += up;
            self.rare_to_newcomers = None;
        }
        let missing = held.missing().map(|piece| self.length(piece)).sum();
        let nothing = Rare { bytes: 0, up: 0.0, sources_up: self.sources_up };
        let known = Known {
            arrived: now,
            up,
            down,
            links: [node.up, node.down],
            gone: false,
            missing,
            held,
            rare: nothing,
            sent: 0,
            received: 0,
            thrown_away: 0,
        };
        self.nodes.push(known);
        if missing > 0 {
            self.nodes[number as usize].rare = self.rare_to(number);
        }
    }

    /// The rarest of what `node` lacks and of which nothing was ever sent, and how fast its holders can send.
    fn rare_to(&mut self, node: u32) -> Rare {
        if let Some(let_out) = self.let_out {
            let present = self.sources.iter().map(|&source| &self.nodes[source as usize]);
            let up = present.filter(|source| !source.gone).map(|source| source.up).sum();
            let bytes = self.total.saturating_sub(let_out);
            return Rare { bytes, up, sources_up: self.sources_up };
        }
        let newcomer = self.nodes[node as usize].held.is_empty();
        if let (true, Some(rare)) = (newcomer, self.rare_to_newcomers) {
            return Rare { sources_up: self.sources_up, ..rare };
        }
        let present =
            self.sources.iter().map(|&source| &self.nodes[source as usize]).filter(|source| !source.gone);
        let holders: Vec<&Known> = present.collect();
        let lacks: Vec<PieceIndex> = self.nodes[node as usize]
            .held
            .missing()
            .filter(|piece| !self.sent_ever.contains(*piece))
            .collect();
        let copies =
            |piece: &PieceIndex| holders.iter().filter(|holder| holder.held.contains(*piece)).count();
        let counts: Vec<usize> = lacks.iter().map(copies).collect();
        let least = counts.iter().copied().min().unwrap_or(0);
        let rarest = lacks.iter().zip(&counts).filter(|(_, count)| **count == least).map(|(piece, _)| *piece);
        let rarest: Vec<PieceIndex> = rarest.collect();
        let holds = |holder: &&&Known| rarest.iter().any(|piece| holder.held.contains(*piece));
        let rare = Rare {
            bytes: rarest.iter().map(|piece| self.length(*piece)).sum(),
            up: holders.iter().filter(holds).map(|holder| holder.up).sum(),
            sources_up: self.sources_up,
        };
        if newcomer {
            self.rare_to_newcomers = Some(rare);
        }
        rare
    }

    /// A block is handed to the network.
    pub(super) fn began(&mut self, node: u32, block: BlockRef) {
        if self.sent_ever.insert(block.piece) {
            self.rare_to_newcomers = None;
        }
        if let Some(let_out) = &mut self.let_out
            && !self.nodes[node as usize].held.is_empty()
        {
            *let_out += u64::from(block.length);
        }
    }

    pub(super) fn sent(&mut self, node: u32, length: u32) {
        self.nodes[node as usize].sent += u64::from(length);
        self.under_way += u64::from(length);
    }

    pub(super) fn received(&mut self, node: u32, length: u32) {
        self.nodes[node as usize].received += u64::from(length);
        self.under_way -= u64::from(length);
    }

    pub(super) fn lost(&mut self, length: u32) {
        self.under_way -= u64::from(length);
    }

    pub(super) fn completed(&mut self, now: Instant, node: u32) {
        self.last_completion = Some(now);
        let Known { arrived, down, missing, rare, .. } = &self.nodes[node as usize];
        let took = (now - *arrived).as_secs_f64();
        let by_link = *missing as f64 / down;
        // Whoever came later with content may have sent some of it.
        let by_rare = rare.bytes as f64 / (rare.up + self.sources_up - rare.sources_up);
        for (least, what) in [(by_link, "its downlink"), (by_rare, "what only its holders could send")] {
            if took < least * (1.0 - ROUNDING) {
                return self.breach(|| {
                    format!("peer {node} was done after {took} s, sooner than the {least} s of {what}")
                });
            }
        }
    }

    /// A piece of `node` did not match its hash.
    pub(super) fn threw_away(&mut self, node: u32, piece: PieceIndex) {
        self.nodes[node as usize].thrown_away += self.length(piece);
    }

    /// A plug-in panicked, never waits, or answered what cannot be.
    pub(super) fn plugin(&mut self, message: String) {
        self.broken.get_or_insert(message);
    }

    /// Looks whether `engine` of `node`, which is done, counted what the network counted.
    pub(super) fn ended(&mut self, now: Instant, node: u32, engine: &mut Engine) {
        let status = engine.status(now);
        let known = &mut self.nodes[node as usize];
        let (sent, received, twice) = (known.sent, known.received, known.thrown_away);
        let time = (now - known.arrived).as_secs_f64();
        let over = |bytes: u64, rate: f64| bytes as f64 > rate * time * (1.0 + ROUNDING);
        if status.uploaded != sent {
            self.breach(|| format!("peer {node} counts {} bytes sent, the network {sent}", status.uploaded));
        } else if status.downloaded + status.wasted != received + twice {
            let counts = status.downloaded + status.wasted - twice;
            self.breach(|| format!("peer {node} counts {counts} bytes received, the network {received}"));
        } else if over(sent, known.up) || over(received, known.down) {
            self.breach(|| format!("peer {node} sent {sent} and received {received} bytes in {time} s, more than its links carry"));
        }
    }

    pub(super) fn left(&mut self, node: u32) {
        self.nodes[node as usize].gone = true;
        self.rare_to_newcomers = None;
    }

    /// Somebody cannot go on.
    pub(super) fn gave_up(&mut self) {
        self.gave_up = true;
    }

    /// Looks whether a link carries more than it can.
    pub(super) fn links(&mut self, sharing: &Sharing) -> Result<(), Broken> {
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.gone) {
            for link in node.links {
                let (load, most) = (sharing.load(link), sharing.capacity(link).unwrap_or(f64::INFINITY));
                if load > most * (1.0 + ROUNDING) {
                    return Err(Broken(format!(
                        "a link of peer {number} carries {load} bytes/s, it can {most}"
                    )));
                }
            }
        }
        Ok(())
    }
}

impl Swarm<'_> {
    pub(super) fn check_at_the_end(&mut self, ended: Ended) -> Result<(), Broken> {
        for number in 0..self.nodes.len() {
            if let Some(engine) = &mut self.nodes[number].engine {
                self.checks.ended(self.now, number as u32, engine);
            }
        }
        let under_way = self.mail.iter().map(|mail| match mail {
            Mail::Block { block, .. } => u64::from(block.length),
            _ => 0,
        });
        let (under_way, counted) = (under_way.sum::<u64>(), self.checks.under_way);
        if under_way != counted {
            self.checks.breach(|| {
                format!("{counted} bytes were sent and did not arrive, but {under_way} are on their way")
            });
        }
        // Whoever comes late or is not done when time is up would only have been done later.
        let all_done = ended == Ended::Done && self.comings.all_done() && !self.checks.gave_up;
        if let (true, Some(bound), Some(last)) =
            (all_done, self.scenario.lower_bound(), self.checks.last_completion)
            && last.as_secs_f64() < bound * (1.0 - ROUNDING)
        {
            let last = last.as_secs_f64();
            self.checks.breach(|| {
                format!("the last peer was done after {last} s, sooner than the bound of {bound} s")
            });
        }
        self.checks.first_broken()
    }
}
