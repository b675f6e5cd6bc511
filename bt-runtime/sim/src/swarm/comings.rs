//! Arrivals and departures.

use bt_api::contain::contain;
use bt_api::rng::{self, Generator};
use bt_api::{InfoHash, Instant, PeerId, PieceIndex, PieceSet};
use bt_engine::event::Joined;
use bt_engine::settings::{ChokedRequest, Settings};
use bt_engine::{Engine, EngineSetup, Event, Input};
use bt_runtime::events::to_ranges;
use bt_runtime::trackers::introduction;
use std::sync::Arc;
use std::time::Duration;

use super::agenda::{Agenda, Class};
use super::node::Node;
use super::plugins::broke;
use super::{PORT, Swarm, address_of};
use crate::chance;
use crate::scenario::{Announces, Arrivals, Granularity, Group, Have, Leaves, Scenario, Wait};

/// The tracker's URL where announces go straight to it.
const TRACKER: &str = "http://tracker/announce";

/// The torrent that all of them want.
pub(super) const INFO_HASH: InfoHash = InfoHash([1; 20]);

/// Why a peer leaves, as the agenda has it.
const LEAVES: u64 = 0;
const ABANDONS: u64 = 1;

/// Who is still to arrive, and who is not done.
pub(super) struct Comings {
    timeline: Timeline,
    /// By group.
    settings: Vec<Arc<Settings>>,
    /// Those who are here and lack something.
    unfinished: u32,
    /// Those who have everything, or left.
    finished: u32,
}

/// Everybody's arrivals, in order.
pub(crate) struct Timeline {
    /// By group, with the time of the next.
    groups: Vec<(Schedule, Option<Instant>)>,
    draws: Generator,
}

/// The arrivals of a group.
struct Schedule {
    draws: Generator,
    /// How many came.
    came: u32,
    /// How many will have come at the end; `None` when there is no end.
    all: Option<u32>,
}

impl Comings {
    pub(super) fn new(scenario: &Scenario, seed: u64, agenda: &mut Agenda) -> Self {
        let timeline = Timeline::new(scenario, seed);
        if let Some(at) = timeline.next_at() {
            agenda.put(at, Class::Arrival, 0, 0);
        }
        let settings = scenario.groups.iter().map(|group| Arc::new(settings_of(scenario, group)));
        Self { timeline, settings: settings.collect(), unfinished: 0, finished: 0 }
    }

    /// Whether everyone came, and nobody lacks anything.
    pub(super) fn all_done(&self) -> bool {
        self.unfinished == 0 && self.timeline.groups.iter().all(|(arrivals, _)| arrivals.is_over())
    }

    /// How many are still to arrive, of groups whose number is known.
    pub(super) fn awaited(&self) -> u64 {
        let awaited = |arrivals: &Schedule| arrivals.all.map_or(0, |all| u64::from(all - arrivals.came));
        self.timeline.groups.iter().map(|(arrivals, _)| awaited(arrivals)).sum()
    }

    /// How many of those who ever come are done, from 0 to 1; 0 where arrivals have no end.
    pub(super) fn part_done(&self) -> f64 {
        let all: Option<u32> = self.timeline.groups.iter().map(|(arrivals, _)| arrivals.all).sum();
        all.map_or(0.0, |all| f64::from(self.finished) / f64::from(all.max(1)))
    }
}

impl Timeline {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let groups = scenario.groups.iter().enumerate().map(|(place, group)| {
            let mut arrivals = Schedule::new(group, place, seed);
            let first = arrivals.next(&group.arrives, Instant::ZERO);
            (arrivals, first)
        });
        Self { groups: groups.collect(), draws: rng::stream(seed, 0, "order of arrivals") }
    }

    /// When somebody arrives next, if anybody does.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.groups.iter().filter_map(|(_, next)| *next).min()
    }

    /// Who arrives next: the groups of all that come in that instant. Those who have everything are first, since there is
    /// something to come for; the others come in random order. With that of the scenario its first group would be
    /// first at the seed, and so be served first.
    pub(crate) fn take(&mut self, scenario: &Scenario) -> Vec<usize> {
        let at = self.next_at();
        let mut all = Vec::new();
        for (place, (arrivals, next)) in self.groups.iter_mut().enumerate() {
            while let Some(now) = next.filter(|_| *next == at) {
                arrivals.came += 1;
                all.push(place);
                *next = arrivals.next(&scenario.groups[place].arrives, now);
            }
        }
        rng::shuffle(&mut self.draws, &mut all);
        all.sort_by_key(|place| !scenario.groups[*place].complete);
        all
    }
}

impl Schedule {
    /// Of `group`, which is number `place` of the scenario.
    fn new(group: &Group, place: usize, seed: u64) -> Self {
        let all = match &group.arrives {
            Arrivals::Trace(times) => {
                Some(group.count.map_or(times.len() as u32, |count| count.min(times.len() as u32)))
            }
            _ => group.count,
        };
        Self { draws: rng::stream(seed, place as u64, "arrivals"), came: 0, all }
    }

    /// Whether everyone came.
    fn is_over(&self) -> bool {
        self.all == Some(self.came)
    }

    /// When the next one arrives, if one does; the last one did at `before`.
    fn next(&mut self, arrives: &Arrivals, before: Instant) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        Some(match arrives {
            Arrivals::At(time) => Instant::ZERO + *time,
            Arrivals::Rate(rate) => Instant::from_nanos((f64::from(self.came) / rate * 1e9) as u64),
            Arrivals::Poisson(rate) => {
                let mean = Duration::from_nanos((1e9 / rate) as u64);
                before + chance::exponential(&mut self.draws, mean)
            }
            Arrivals::Trace(times) => Instant::ZERO + times[self.came as usize],
        })
    }
}

/// The profile's settings, as the scenario has them run.
fn settings_of(scenario: &Scenario, group: &Group) -> Settings {
    let mut settings = Settings::clone(&group.profile.settings);
    if scenario.network.granularity == Granularity::Piece {
        let piece = u64::from(scenario.content.piece);
        let requests = &mut settings.requests;
        // As many bytes under way as before, and never nothing between one piece and the next: where messages take no
        // time, that needs no piece more than the one that is sent.
        let least = if scenario.network.delay.is_zero() { 1 } else { 2 };
        let pieces =
            |blocks: u32| (u64::from(blocks) * requests.block_size.0).div_ceil(piece).max(least) as u32;
        let backlog = pieces(requests.backlog);
        let (knee, most) = (requests.backlog_knee.map(pieces), requests.max_backlog.map(pieces));
        (requests.backlog, requests.backlog_knee, requests.max_backlog) = (backlog, knee, most);
        requests.block_size.0 = piece;
        settings.upload.max_request_length.0 = piece;
    }
    settings
}

/// How long `wait` is this time.
pub(crate) fn wait(wait: Wait, draws: &mut Generator) -> Duration {
    match wait {
        Wait::After(time) => time,
        Wait::Exponential(mean) => chance::exponential(draws, mean),
    }
}

/// What a peer of `group` holds on arrival.
pub(crate) fn held_by(scenario: &Scenario, group: &Group, draws: &mut Generator) -> PieceSet {
    let pieces = scenario.content.pieces();
    let mut have = if group.complete { PieceSet::full(pieces) } else { PieceSet::new(pieces) };
    match &group.have {
        _ if group.complete => {}
        Have::Fraction(_) => {
            let drawn = chance::sample(draws, pieces, group.have.count(pieces));
            drawn.into_iter().for_each(|piece| _ = have.insert(PieceIndex(piece)));
        }
        Have::Missing(missing) => {
            have = PieceSet::full(pieces);
            missing.iter().for_each(|piece| _ = have.remove(PieceIndex(*piece)));
        }
    }
    have
}

impl Swarm<'_> {
    /// Those arrive who come at this time.
    pub(super) fn arrive(&mut self) {
        for place in self.comings.timeline.take(self.scenario) {
            self.join(place);
        }
        if let Some(at) = self.comings.timeline.next_at() {
            self.agenda.put(at, Class::Arrival, 0, 0);
        }
    }

    fn join(&mut self, place: usize) {
        let (scenario, number) = (self.scenario, self.nodes.len() as u32);
        let group = &scenario.groups[place];
        let seed = self.seed;
        let stream = |name| rng::stream(seed, u64::from(number), name);
        let have = held_by(scenario, group, &mut stream("have"));
        let settings = self.comings.settings[place].clone();
        let mut id = [b'-'; 20];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let (id, address) = (PeerId(id), address_of(number));
        let at_most = |link: Option<u64>, limit: Option<u64>| link.into_iter().chain(limit).min();
        let down = at_most(group.down, settings.net.download_limit.get().map(|rate| rate.0));
        let joined = Event::Joined(Box::new(Joined {
            addr: Some(address),
            class: Some(group.name.clone()),
            up: group.up,
            down,
            total_length: scenario.content.size,
            piece_length: scenario.content.piece,
            have: to_ranges(&have),
        }));
        let fast = settings.upload.choked_request == ChokedRequest::Reject;
        let trackers = match &scenario.tracker.announces {
            Announces::Directly => vec![vec![TRACKER.to_owned()]],
            Announces::To(url) => vec![vec![url.to_string()]],
            Announces::ToSources => Vec::new(),
        };
        let announcing = self.announcing();
        let sources = announcing.map(|announcing| announcing.enter(number, &group.profile));
        let sources = sources.unwrap_or_default();
        // They were built once when the scenario was loaded, but they are strangers.
        let (choke, piece) = match contain(|| (group.profile.choke(), group.profile.piece())) {
            Ok(policies) => policies,
            Err(said) => return self.checks.plugin(broke(&group.name, number, self.now, &said)),
        };
        let mut engine = Engine::new(EngineSetup {
            settings,
            info_hash: INFO_HASH,
            peer_id: id,
            port: PORT,
            total_length: scenario.content.size,
            piece_length: scenario.content.piece,
            have,
            partial: Vec::new(),
            trackers,
            sources,
            choke,
            piece,
            seed: self.seed,
            node: u64::from(number),
            log: true,
        });
        let everyone = self.everyone.as_mut();
        if let Some(oracle) = everyone.and_then(|everyone| everyone.arrived(group, engine.have())) {
            engine.set_oracle(oracle);
        }
        let links = [self.sharing.add_link(group.up), self.sharing.add_link(down)];
        let node = Node::new(place, engine, id, fast, links, stream("tracker"));
        self.checks.arrived(self.now, group, down, &node);
        let complete = node.complete;
        if let Some(coded) = &mut self.coded {
            coded.arrived(complete);
        }
        self.nodes.push(node);
        self.observe(number, &joined);
        if complete {
            self.comings.finished += 1;
        } else {
            self.comings.unfinished += 1;
        }
        if self.stores().is_none() {
            return self.take_part(number);
        }
        // It takes part once its store is open.
        self.nodes[number as usize].present = false;
        self.open_store(number);
    }

    /// `node` takes part from now on.
    pub(super) fn take_part(&mut self, number: u32) {
        let node = &mut self.nodes[number as usize];
        node.present = true;
        let id = node.id;
        if let Some(announcing) = self.announcing() {
            announcing.listen(number, &introduction(INFO_HASH, id, PORT));
        }
        let node = &mut self.nodes[number as usize];
        if let Some(engine) = &mut node.engine {
            engine.start(self.now);
        }
        let group = &self.scenario.groups[node.group];
        let departure = match group.leaves {
            Leaves::Later(time) if node.complete => Some((time, LEAVES)),
            _ if node.complete => None,
            _ => group.abandons.map(|time| (time, ABANDONS)),
        };
        if let Some((time, why)) = departure {
            let mut draws = rng::stream(self.seed, u64::from(number), "departure");
            self.agenda.put(self.now + wait(time, &mut draws), Class::Departure, number, why);
        }
        self.carry_out(number);
    }

    /// `node` has everything now.
    pub(super) fn completed(&mut self, node: u32) {
        if std::mem::replace(&mut self.nodes[node as usize].complete, true) {
            return;
        }
        self.comings.unfinished -= 1;
        self.comings.finished += 1;
        self.checks.completed(self.now, node);
        let leaves = self.scenario.groups[self.nodes[node as usize].group].leaves;
        let at = match leaves {
            Leaves::Never => return,
            Leaves::OnComplete => self.now,
            Leaves::Later(time) => {
                self.now + wait(time, &mut rng::stream(self.seed, u64::from(node), "seeding"))
            }
        };
        self.agenda.put(at, Class::Departure, node, LEAVES);
    }

    /// `node` leaves, unless it was to give up and is done meanwhile.
    pub(super) fn depart(&mut self, node: u32, why: u64) {
        let leaver = &self.nodes[node as usize];
        if !leaver.present || (why == ABANDONS && leaver.complete) {
            return;
        }
        self.is_gone(node);
        self.feed(node, Input::Stop);
        self.observe(node, &Event::Left {});
    }

    /// `node` cannot go on, and its engine has stopped by itself or never began.
    pub(super) fn give_up(&mut self, node: u32) {
        self.is_gone(node);
        self.checks.gave_up();
        self.observe(node, &Event::Left {});
    }

    /// `node` takes part no longer.
    fn is_gone(&mut self, node: u32) {
        let leaver = &mut self.nodes[node as usize];
        leaver.present = false;
        if let Some(everyone) = &mut self.everyone {
            everyone.left(node);
        }
        if !leaver.complete {
            self.comings.unfinished -= 1;
            self.comings.finished += 1;
        }
        self.checks.left(node);
    }

    /// The engine of `node` has told the tracker, and is done.
    pub(super) fn stopped(&mut self, node: u32) {
        let stopped = &mut self.nodes[node as usize];
        let Some(mut engine) = stopped.engine.take() else { return };
        stopped.forget();
        let (up, down) = (stopped.up, stopped.down);
        self.checks.ended(self.now, node, &mut engine);
        self.sharing.remove_link(up);
        self.sharing.remove_link(down);
        self.plugins_leave(node);
    }
}

#[cfg(test)]
mod tests {
    use bt_policies as _;
    use bt_storage as _;

    use super::*;

    /// Groups by name, each with its number and what else is said of it.
    fn scenario(groups: &[(&str, u32, &str)]) -> Scenario {
        let mut text = "[content]\nsize = '1 MiB'\npiece = '256 KiB'\n".to_owned();
        for (name, count, more) in groups {
            text += &format!(
                "[[peers]]\nname = '{name}'\ncount = {count}\nup = '1 MiB/s'\ndown = '1 MiB/s'\n{more}\n\
                 profile = {{ choke.use = 'random', piece.use = 'sequential', storage.use = 'memory', tracker.use = 'http' }}\n"
            );
        }
        Scenario::from_text("crowd", &text, &[]).unwrap()
    }

    #[test]
    fn a_crowd_comes_in_random_order_behind_the_seeds_whatever_the_order_of_groups() {
        let late = "arrives = { trace = ['5 s', '7 s'] }";
        let scenario = scenario(&[
            ("first", 100, ""),
            ("second", 100, ""),
            ("late", 2, late),
            ("seed", 1, "complete = true"),
        ]);
        let mut timeline = Timeline::new(&scenario, 1);
        assert_eq!(timeline.next_at(), Some(Instant::ZERO));
        let crowd = timeline.take(&scenario);
        assert_eq!((crowd.len(), crowd[0]), (201, 3));
        let early = crowd[1..101].iter().filter(|place| **place == 0).count();
        assert!((35..=65).contains(&early), "of either group about as many: {early}");
        for at in [5, 7] {
            assert_eq!(timeline.next_at(), Some(Instant::from_secs(at)));
            assert_eq!(timeline.take(&scenario), [2]);
        }
        assert_eq!(timeline.next_at(), None);
        assert_eq!(Timeline::new(&scenario, 1).take(&scenario), crowd, "the seed of the run decides");
        assert_ne!(Timeline::new(&scenario, 2).take(&scenario), crowd);
    }
}
