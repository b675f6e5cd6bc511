//! The simulation itself: engines as they are in a real client, in virtual time.
//!
//! Every peer is an unmodified [`Engine`]. What it wants done is carried out here, over a model of the network:
//!
//! - *Messages* take the scenario's delay. What two peers say to each other stays in order; a choke does not overtake
//!   the block before it.
//! - *Blocks* flow at the rate that their transfer has of both access links ([`Sharing`]), and arrive the delay after
//!   their last byte left. A transfer lasts while the sender's engine hands out one block after another, so shares
//!   change only when that ends or begins.
//! - *A piece* that is complete is announced to everyone by one entry of the agenda.
//! - *Hashing and storage* take no time and never fail: there is no payload, unless the scenario asks for it.
//!
//! | file | holds |
//! | --- | --- |
//! | `agenda` | the order of everything that happens |
//! | `timetable` | one due time for each of many things: the ends of transfers, the clocks of engines |
//! | `node` | one peer: its engine, connections and links |
//! | `wires` | messages, handshakes, the ends of connections |
//! | `transfers` | blocks on their way |
//! | `comings` | arrivals and departures |
//! | `tracker` | the tracker |
//! | `everyone` | who has what, for policies that are to see the whole swarm |
//! | `coded` | content that is network-coded |
//! | `plugins` | plug-ins that wait, where the scenario has them take part |
//! | `stores` | stores of peers, where the content has bytes |
//! | `announcing` | tracker clients of peers, where announces go through them |
//! | `executor`, `host`, `network` | what plug-ins that wait run on, in virtual time |
//! | `checks` | what must hold in every run |

mod agenda;
mod announcing;
mod checks;
mod coded;
pub(crate) mod comings;
mod everyone;
mod executor;
mod host;
mod network;
mod node;
mod plugins;
mod stores;
mod timetable;
pub(crate) mod tracker;
mod transfers;
mod wires;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bt_api::{Instant, PeerKey, PieceIndex};
use bt_engine::{Engine, Event, Input, Output, Verdict};

use crate::Scenario;
use crate::scenario::Until;
use crate::sharing::{FlowId, Sharing};

use agenda::{Agenda, Class, Due};
pub use checks::Broken;
use checks::Checks;
use coded::Coded;
use comings::Comings;
use everyone::Everyone;
use node::Node;
use plugins::Plugins;
use tracker::Tracker;
use transfers::Transfer;
use wires::Mail;

/// Sees what happens in a run.
pub trait Observer {
    /// `event` happened at `node`; nodes are numbered from 0 in the order in which they arrive.
    fn event(&mut self, now: Instant, node: u32, event: &Event);

    /// Called now and then with the simulated time and how much of the run is done, from 0 to 1; `false` ends the run.
    fn progress(&mut self, now: Instant, done: f64) -> bool {
        let _ = (now, done);
        true
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What `run.until` waits for came.
    Done,
    /// The scenario's limit came first, or nothing was left to happen.
    Limit,
    /// The observer ended it.
    Interrupted,
}

impl Ended {
    /// As manifests have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Limit => "limit",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What a run was, besides its events.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// The simulated time at its end.
    pub now: Instant,
    /// How many entries of the agenda were worked off.
    pub happenings: u64,
    /// How many inputs all engines together were given.
    pub inputs: u64,
    /// How many were still to arrive, of those whose number is known.
    pub awaited: u64,
    /// Stores that hung when the run was given up, a line each: whose, and since when.
    pub silent: Vec<String>,
}

/// Simulates `scenario` with `seed`, in place of the scenario's own.
///
/// # Errors
/// When one of the assertions that hold in every run does not: that is a mistake in the simulator or in a policy.
pub fn simulate(scenario: &Scenario, seed: u64, observer: &mut dyn Observer) -> Result<Outcome, Broken> {
    Swarm::new(scenario, seed, observer).run()
}

/// How often the observer hears of progress, in entries of the agenda.
const PROGRESS_EVERY: u64 = 1 << 14;

/// The port at which every node listens.
const PORT: u16 = 6881;

/// Where `node` is reached: 10.0.0.0/8 has room for 2^24 of them.
pub(crate) fn address_of(node: u32) -> SocketAddr {
    SocketAddr::from((ip_of(node), PORT))
}

/// The IP address of `node`.
fn ip_of(node: u32) -> Ipv4Addr {
    let [_, a, b, c] = node.to_be_bytes();
    Ipv4Addr::new(10, a, b, c)
}

/// Who is reached at `address`.
pub(crate) fn node_at(address: SocketAddr) -> Option<u32> {
    match address {
        SocketAddr::V4(v4) if v4.ip().octets()[0] == 10 => {
            let [_, a, b, c] = v4.ip().octets();
            Some(u32::from_be_bytes([0, a, b, c]))
        }
        _ => None,
    }
}

struct Swarm<'a> {
    scenario: &'a Scenario,
    seed: u64,
    observer: &'a mut dyn Observer,
    now: Instant,
    agenda: Agenda,
    nodes: Vec<Node>,
    sharing: Sharing,
    /// By flow of `sharing`.
    transfers: Vec<Transfer>,
    /// Whether flows came, went or changed since the shares were worked out.
    shares_changed: bool,
    /// What is on its way, by the number that the agenda has for it.
    mail: Vec<Mail>,
    free_mail: Vec<u32>,
    /// The mail that announces a piece, while nothing else is sent: when, from whom, which piece.
    haves: Option<(u32, (Instant, u32, PieceIndex))>,
    /// An empty list of receivers, to be used again.
    spare_list: Vec<(u32, PeerKey)>,
    /// What an engine wants done; empty between uses. All write into the same memory, which stays in the cache.
    outputs: VecDeque<Output>,
    /// Flows of which the rate changed; empty between uses.
    changed: Vec<FlowId>,
    next_tag: u64,
    tracker: Tracker,
    comings: Comings,
    checks: Checks,
    /// Who has how much, if the content is coded.
    coded: Option<Coded>,
    /// Who has what, if a policy is to see that.
    everyone: Option<Everyone>,
    /// Plug-ins that wait, if the scenario has them take part.
    plugins: Option<Box<Plugins>>,
    happenings: u64,
    inputs: u64,
}

impl<'a> Swarm<'a> {
    fn new(scenario: &'a Scenario, seed: u64, observer: &'a mut dyn Observer) -> Self {
        let mut agenda = Agenda::default();
        Self {
            seed,
            observer,
            now: Instant::ZERO,
            nodes: Vec::new(),
            sharing: Sharing::new(),
            transfers: Vec::new(),
            shares_changed: false,
            mail: Vec::new(),
            free_mail: Vec::new(),
            haves: None,
            spare_list: Vec::new(),
            outputs: VecDeque::new(),
            changed: Vec::new(),
            next_tag: 0,
            tracker: Tracker::new(scenario.tracker.reply),
            comings: Comings::new(scenario, seed, &mut agenda),
            checks: Checks::new(scenario),
            coded: scenario.content.coded.then(|| Coded::new(scenario.content.pieces())),
            everyone: Everyone::new(scenario),
            plugins: Plugins::new(scenario, seed),
            happenings: 0,
            inputs: 0,
            agenda,
            scenario,
        }
    }

    fn run(mut self) -> Result<Outcome, Broken> {
        let until = match self.scenario.run.until {
            Until::AllComplete => None,
            Until::After(time) => Some(Instant::ZERO + time),
        };
        let limit = until.unwrap_or(Instant::ZERO + self.scenario.run.limit);
        let ended = loop {
            if until.is_none() && self.comings.all_done() {
                break Ended::Done;
            }
            if self.shares_changed && self.agenda.next_at() != Some(self.now) {
                self.share_anew();
            }
            let Some(due) = self.agenda.take().filter(|due| due.at <= limit) else {
                self.now = limit;
                break if until.is_some() { Ended::Done } else { Ended::Limit };
            };
            self.now = due.at;
            self.happenings += 1;
            self.happen(due)?;
            if self.happenings.is_multiple_of(PROGRESS_EVERY) {
                if !self.shares_changed {
                    self.checks.links(&self.sharing)?;
                }
                let done = match until {
                    Some(until) => self.now.as_secs_f64() / until.as_secs_f64(),
                    None => self.comings.part_done(),
                };
                if !self.observer.progress(self.now, done) {
                    break Ended::Interrupted;
                }
            }
        };
        let silent = if ended == Ended::Limit { self.tell_silent_stores() } else { Vec::new() };
        self.end_plugins();
        self.check_at_the_end(ended)?;
        let awaited = self.comings.awaited();
        Ok(Outcome {
            ended,
            now: self.now,
            happenings: self.happenings,
            inputs: self.inputs,
            awaited,
            silent,
        })
    }

    fn happen(&mut self, due: Due) -> Result<(), Broken> {
        match due.class {
            Class::Arrival => self.arrive(),
            Class::Departure => self.depart(due.node, due.what),
            Class::Mail => self.deliver(due.what as u32),
            Class::Transfer => self.transferred(due.what as u32),
            Class::Wakeup => self.wake(due.node),
        }
        if self.plugins.is_some() {
            self.run_plugins();
        }
        self.checks.first_broken()
    }

    fn wake(&mut self, node: u32) {
        let sleeper = &mut self.nodes[node as usize];
        sleeper.wakes_at = None;
        let wanted = sleeper.engine.as_ref().and_then(Engine::next_wakeup);
        match wanted {
            Some(at) if at <= self.now => self.feed(node, Input::Wakeup),
            _ => self.set_clock(node),
        }
    }

    /// Has the agenda wake `node` when its engine wants to be woken. An entry that is early does no harm.
    fn set_clock(&mut self, node: u32) {
        let sleeper = &mut self.nodes[node as usize];
        let Some(at) = sleeper.engine.as_ref().and_then(Engine::next_wakeup) else { return };
        // Time goes on, whatever an engine wants.
        let at = at.max(self.now + Duration::from_nanos(1));
        if sleeper.wakes_at.is_none_or(|earlier| at < earlier) {
            sleeper.wakes_at = Some(at);
            self.agenda.put_wakeup(at, node);
        }
    }

    /// Gives `node` an input and carries out all that comes of it.
    fn feed(&mut self, node: u32, input: Input) {
        if let Some(engine) = &mut self.nodes[node as usize].engine {
            self.inputs += 1;
            engine.take_outputs(&mut self.outputs);
            engine.handle(self.now, input);
            self.carry_out(node);
        }
    }

    /// Carries out what the engine of `node` wants done.
    fn carry_out(&mut self, node: u32) {
        let mut outputs = std::mem::take(&mut self.outputs);
        loop {
            if let Some(engine) = &mut self.nodes[node as usize].engine {
                engine.take_outputs(&mut outputs);
            }
            if outputs.is_empty() {
                break;
            }
            outputs.drain(..).for_each(|output| self.carry_out_one(node, output));
        }
        self.outputs = outputs;
        self.set_clock(node);
    }

    fn carry_out_one(&mut self, node: u32, output: Output) {
        match output {
            Output::Send { peer, message } => self.send(node, peer, message),
            Output::Event(event) => self.observe(node, &event),
            output @ (Output::Upload { .. }
            | Output::Finish { .. }
            | Output::Keep { .. }
            | Output::Drop { .. }
            | Output::Discard { .. })
                if self.stores().is_some() =>
            {
                self.use_store(node, output);
            }
            Output::Upload { peer, block } => self.upload(node, peer, block),
            Output::Keep { .. } | Output::Drop { .. } | Output::Discard { .. } => {}
            Output::Finish { piece, .. } => {
                // There is no payload: every piece is good, and so are all its blocks.
                let result = Ok(Verdict::Good(Vec::new()));
                self.inputs += 1;
                if let Some(engine) = &mut self.nodes[node as usize].engine {
                    engine.handle(self.now, Input::Finished { piece, result });
                }
            }
            Output::Connect { peer, address, .. } => self.dial(node, peer, address),
            Output::Accept { peer } => self.accept(node, peer),
            Output::Close { peer, .. } => self.close(node, peer),
            Output::Announce { tag, target, announce } => self.ask_tracker(node, tag, target, announce),
            Output::Failed { message } => self.failed(node, &message),
            Output::Stopped => self.stopped(node),
        }
    }

    fn observe(&mut self, node: u32, event: &Event) {
        self.observer.event(self.now, node, event);
        match event {
            Event::Complete { .. } => self.completed(node),
            Event::PieceVerified { piece, peers } => {
                let piece = PieceIndex(*piece);
                if let Some(everyone) = &mut self.everyone {
                    everyone.verified(node, piece);
                }
                self.verified(node, piece, peers);
            }
            Event::PieceFailed { piece, .. } => self.checks.threw_away(node, PieceIndex(*piece)),
            Event::PolicyViolation { policy, message } => {
                self.broke(node, &format!("the plug-in `{policy}` answered what cannot be: {message}"));
            }
            _ => {}
        }
    }
}
