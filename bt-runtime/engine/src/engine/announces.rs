//! When trackers and other sources are asked, and what becomes of their answers.
//!
//! One schedule for the torrent's trackers, which are tried tier by tier until one answers (BEP 12, RR-23), and
//! one for each source of the profile that has no URL. The schedule is the original's: a check every five
//! minutes that announces when there are too few peers, and an announce every half hour in any case (RR-9 to RR-15).
//!
//! An announce with an event is made at once, whatever is under way. Others are made one at a time: the original
//! begins another while it waits, but a tracker that is slow and wants to be asked often would be flooded (so RR-21, RR-22).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bt_api::rng::{self, Generator};
use bt_api::{
    Announce, AnnounceEvent, AnnounceReply, InfoHash, Instant, PeerAddress, PeerId, Rng, TrackerError,
    TrackerErrorKind,
};

use super::Engine;
use crate::event::{Answered, Event};
use crate::io::{Output, Target};
use crate::settings::{AnnounceSettings, Backoff, Failover, PeerOrder, Settings};

/// An interval that a tracker names is kept within these: no announce flood, no torrent that never announces.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the last announce may hold up the end of a run.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause of the `v4` back-off (RR-21).
const FIRST_PAUSE: Duration = Duration::from_secs(50);
/// The pause of the `fixed-60` back-off (RR-22).
const FIXED_PAUSE: Duration = Duration::from_secs(60);
/// A source that names no interval is asked again after this.
const SOURCE_INTERVAL: Duration = Duration::from_secs(300);

pub(super) struct Announcer {
    tiers: Vec<Vec<String>>,
    sources: Vec<Source>,
    info_hash: InfoHash,
    port: u16,
    ip: Option<IpAddr>,
    key: u32,
    next_tag: u64,
    under_way: Vec<UnderWay>,
    /// No announce may take longer than to here: the end of the run waits for the last one.
    stop_by: Instant,
    /// When the check comes, and how far checks are apart (RR-9).
    check: Instant,
    check_interval: Duration,
    last_announce: Instant,
    interval: Duration,
    /// When to try again after a failure; until then the check announces nothing.
    retry: Instant,
    /// The last pause of the `v4` back-off, since the last answer.
    pause: Option<Duration>,
    /// The tracker that answered last, if none failed since.
    answers: Option<String>,
    /// Whether any tracker has answered in this run.
    ever_answered: bool,
    /// Whether the attempt before failed; true before the first (RR-14).
    failed_before: bool,
    told: BTreeMap<String, Told>,
    trouble: Option<String>,
}

/// An announce that waits for its answer.
struct UnderWay {
    tag: u64,
    event: Option<AnnounceEvent>,
    tier: usize,
    url: String,
    deadline: Instant,
}

/// What a tracker told us to say to it next time (RR-3, RR-18).
#[derive(Default)]
struct Told {
    tracker_id: Option<Vec<u8>>,
    last: Option<u64>,
}

struct Source {
    name: String,
    next: Instant,
    /// The tag of the question under way.
    asked: Option<u64>,
}

impl Announcer {
    pub(super) fn new(
        mut tiers: Vec<Vec<String>>,
        sources: Vec<String>,
        info_hash: InfoHash,
        port: u16,
        settings: &Settings,
        rng: &mut Generator,
    ) -> Self {
        // One that is listed twice is asked once.
        let mut seen = BTreeSet::new();
        tiers.iter_mut().for_each(|tier| tier.retain(|url| seen.insert(url.clone())));
        tiers.retain(|tier| !tier.is_empty());
        // Each tier is shuffled once (BEP 12).
        tiers.iter_mut().for_each(|tier| rng::shuffle(rng, tier));
        let source = |name| Source { name, next: Instant::NEVER, asked: None };
        Self {
            tiers,
            sources: sources.into_iter().map(source).collect(),
            info_hash,
            port,
            ip: settings.announce.ip.parse().ok(),
            key: rng.next_u32(),
            next_tag: 0,
            under_way: Vec::new(),
            stop_by: Instant::NEVER,
            check: Instant::NEVER,
            check_interval: settings.announce.check_interval.get(),
            last_announce: Instant::ZERO,
            interval: settings.announce.default_interval.get(),
            retry: Instant::NEVER,
            pause: None,
            answers: None,
            ever_answered: false,
            failed_before: true,
            told: BTreeMap::new(),
            trouble: None,
        }
    }

    fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }

    /// When the next announce that is under way is given up.
    pub(super) fn deadline(&self) -> Instant {
        self.under_way.iter().map(|announce| announce.deadline).min().unwrap_or(Instant::NEVER)
    }

    pub(super) fn next_clock(&self) -> Instant {
        let sources = self.sources.iter().map(|source| source.next).min().unwrap_or(Instant::NEVER);
        self.deadline().min(self.check).min(self.retry).min(sources)
    }

    /// Whether nothing is under way that the end of the run waits for.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        self.under_way.iter().all(|announce| announce.deadline <= now)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }
}

impl Engine {
    /// RR-9.
    pub(super) fn begin_announcing(&mut self) {
        if !self.announcer.tiers.is_empty() {
            self.announcer.check = self.now + self.announcer.check_interval;
            self.announce(Some(AnnounceEvent::Started));
        }
        for at in 0..self.announcer.sources.len() {
            self.ask_source(at);
        }
    }

    pub(super) fn announce_completed(&mut self) {
        self.announce(Some(AnnounceEvent::Completed));
    }

    /// The last announce of a run; no answer to another matters any more (RR-11).
    pub(super) fn announce_stopped(&mut self) {
        self.announcer.under_way.clear();
        self.announcer.stop_by = self.now + STOP_TIMEOUT;
        self.announce(Some(AnnounceEvent::Stopped));
    }

    fn announce(&mut self, event: Option<AnnounceEvent>) {
        if self.announcer.tiers.is_empty() {
            return;
        }
        // What becomes of the announce, or of the one under way, says when to try again.
        self.announcer.retry = Instant::NEVER;
        if event.is_some() || self.announcer.under_way.is_empty() {
            self.announce_to(0, 0, event);
        }
    }

    fn announce_to(&mut self, tier: usize, place: usize, event: Option<AnnounceEvent>) {
        let url = self.announcer.tiers[tier][place].clone();
        let tag = self.announcer.tag();
        let deadline = (self.now + self.settings.announce.timeout.get()).min(self.announcer.stop_by);
        self.announcer.under_way.push(UnderWay { tag, event, tier, url: url.clone(), deadline });
        self.announcer.last_announce = self.now;
        let announce = self.what_to_say(Some(&url), event);
        self.ask(tag, Target::Url(url.clone()), url, announce);
    }

    fn ask(&mut self, tag: u64, target: Target, name: String, announce: Announce) {
        self.event(|_| Event::Announce {
            target: name,
            event: announce.event.map(|event| event.as_str().into()),
            left: announce.left,
        });
        self.outputs.push_back(Output::Announce { tag, target, announce: Box::new(announce) });
    }

    fn what_to_say(&self, url: Option<&str>, event: Option<AnnounceEvent>) -> Announce {
        let settings: &AnnounceSettings = &self.settings.announce;
        // RR-4: with enough peers none are asked for, and then no form is asked for either.
        let enough = self.facts.len() >= settings.max_peers as usize;
        let told = url.and_then(|url| self.announcer.told.get(url));
        Announce {
            info_hash: self.announcer.info_hash,
            peer_id: self.own_id(),
            port: self.announcer.port,
            ip: self.announcer.ip,
            key: self.announcer.key,
            uploaded: self.own.uploaded,
            downloaded: self.own.downloaded,
            left: self.pieces.left(),
            event,
            peers_wanted: enough.then_some(0),
            compact: settings.compact && !enough,
            tracker_id: told.and_then(|told| told.tracker_id.clone()),
            last: told.and_then(|told| told.last),
        }
    }

    fn own_id(&self) -> PeerId {
        self.peers.own_id()
    }

    fn ask_source(&mut self, at: usize) {
        let tag = self.announcer.tag();
        let source = &mut self.announcer.sources[at];
        source.asked = Some(tag);
        // Until it answers; and again then, should it never.
        source.next = self.now + SOURCE_INTERVAL;
        let name = source.name.clone();
        let announce = self.what_to_say(None, None);
        self.ask(tag, Target::Source(at), name, announce);
    }

    pub(super) fn announced(&mut self, tag: u64, result: Result<Box<AnnounceReply>, TrackerError>) {
        if let Some(at) = self.announcer.sources.iter().position(|source| source.asked == Some(tag)) {
            return self.source_answered(at, result);
        }
        // An answer that is too late is dropped (RR-13).
        let under_way = self.announcer.under_way.iter().position(|under_way| under_way.tag == tag);
        let Some(under_way) = under_way.map(|place| self.announcer.under_way.remove(place)) else { return };
        self.log_reply(under_way.url.clone(), &result);
        match result {
            Ok(reply) => {
                // A tracker that answers moves to the front of its tier (BEP 12).
                let tier = &mut self.announcer.tiers[under_way.tier];
                if let Some(place) = tier.iter().position(|url| *url == under_way.url) {
                    tier[..=place].rotate_right(1);
                }
                self.answered(under_way.url, *reply);
            }
            Err(error) => {
                if self.deserves_another_try(&under_way.url) || !self.try_next_tracker(&under_way) {
                    self.not_answered(&error);
                }
            }
        }
    }

    fn log_reply(&mut self, target: String, result: &Result<Box<AnnounceReply>, TrackerError>) {
        self.event(|_| {
            let (reply, error) = match result {
                Ok(reply) => (Some(reply), None),
                Err(error) => (None, Some(error.message.clone())),
            };
            Event::AnnounceReply(Box::new(Answered {
                target,
                peers: reply.map_or(0, |reply| reply.peers.len()),
                interval: reply.and_then(|reply| reply.interval).map(|interval| interval.as_secs()),
                error,
                warning: reply.and_then(|reply| reply.warning.clone()),
            }))
        });
    }

    /// Whether the tracker at `url`, which failed, answered last time, and the profile asks it once more before the
    /// others (RR-23).
    fn deserves_another_try(&mut self, url: &str) -> bool {
        let answered_last = self.announcer.answers.take().is_some_and(|answers| answers == url);
        answered_last && self.settings.announce.failover == Failover::NextAnnounce
    }

    fn try_next_tracker(&mut self, failed: &UnderWay) -> bool {
        let in_tier = &self.announcer.tiers[failed.tier];
        let place = in_tier.iter().position(|url| *url == failed.url).map_or(0, |place| place + 1);
        let (tier, place) = if place < in_tier.len() { (failed.tier, place) } else { (failed.tier + 1, 0) };
        if tier >= self.announcer.tiers.len() || self.announcer.stop_by <= self.now {
            return false;
        }
        self.announce_to(tier, place, failed.event);
        true
    }

    /// RR-17 to RR-20.
    fn answered(&mut self, url: String, mut reply: AnnounceReply) {
        let announcer = &mut self.announcer;
        announcer.failed_before = false;
        announcer.ever_answered = true;
        announcer.pause = None;
        announcer.trouble = reply.warning;
        if let Some(interval) = reply.interval {
            announcer.interval = interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        }
        if let Some(interval) = reply.min_interval {
            // From the next time on that the check is set (RR-18).
            announcer.check_interval = interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        }
        let told = announcer.told.entry(url.clone()).or_default();
        announcer.answers = Some(url);
        told.tracker_id = reply.tracker_id.or(told.tracker_id.take());
        told.last = reply.last;
        let known = (reply.peers.len() + self.facts.len()) as u64;
        if known < u64::from(self.settings.announce.max_peers) {
            // The tracker knows many more than it told: ask for the full list next time (RR-19).
            let all = reply.known_peers.unwrap_or(1000);
            let useful =
                if self.own.is_seed { all.saturating_sub(reply.done_peers.unwrap_or(0)) } else { all };
            if useful as f64 > known as f64 * self.settings.announce.last_reset_factor {
                told.last = None;
            }
        }
        if self.phase == super::Phase::Running {
            if self.settings.announce.peer_order == PeerOrder::Random {
                rng::shuffle(&mut self.rng, &mut reply.peers);
            }
            reply.peers.into_iter().for_each(|peer| self.meet(peer));
        }
    }

    /// No tracker gave peers: says so if that is worth a word (RR-14, RR-16, RR-17).
    fn not_answered(&mut self, error: &TrackerError) {
        let quiet = self.settings.announce.quiet_rate.0;
        let slow = (self.total_down.current(self.now) as u64) < quiet && self.uplink.rate(self.now) < quiet;
        let announcer = &mut self.announcer;
        // A refusal and garbage are answers. One lost announce of a torrent that works is no news.
        let answer = matches!(error.kind, TrackerErrorKind::Refused | TrackerErrorKind::Malformed);
        let late = error.kind == TrackerErrorKind::TimedOut;
        if answer || announcer.failed_before && (slow || !late) {
            announcer.trouble = Some(error.message.clone());
        }
        announcer.failed_before = !answer;
        self.fall_back();
    }

    /// Sets when to try again, of which the profile has several ways.
    fn fall_back(&mut self) {
        let settings = &self.settings.announce;
        let announcer = &mut self.announcer;
        let pause = match settings.backoff {
            Backoff::None => return,
            Backoff::Fixed60 if announcer.ever_answered => return,
            Backoff::Fixed60 => FIXED_PAUSE,
            Backoff::V4 => {
                // By a factor of 1.4 to 1.6 each time (RR-21).
                let longer = |pause| pause * (1400 + rng::below(&mut self.rng, 201)) / 1000;
                let pause = announcer.pause.map_or(FIRST_PAUSE, longer);
                *announcer.pause.insert(pause.min(settings.max_retry_interval.get()))
            }
        };
        announcer.retry = self.now + pause;
    }

    fn source_answered(&mut self, at: usize, result: Result<Box<AnnounceReply>, TrackerError>) {
        let name = self.announcer.sources[at].name.clone();
        self.log_reply(name, &result);
        let source = &mut self.announcer.sources[at];
        source.asked = None;
        let interval = result.as_ref().ok().and_then(|reply| reply.interval).unwrap_or(SOURCE_INTERVAL);
        source.next = self.now + interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        match result {
            Ok(reply) if self.phase == super::Phase::Running => {
                reply.peers.into_iter().for_each(|peer| self.meet(peer));
            }
            Ok(_) => {}
            Err(error) => self.announcer.trouble = Some(error.message),
        }
    }

    /// Peers that nobody asked for: of the user, or of a source that spoke up.
    pub(super) fn told_of(&mut self, source: String, peers: Vec<PeerAddress>) {
        let reply = AnnounceReply { peers, ..AnnounceReply::default() };
        self.log_reply(source, &Ok(Box::new(reply.clone())));
        reply.peers.into_iter().for_each(|peer| self.meet(peer));
    }

    /// The clocks of announces (RR-10, RR-13).
    pub(super) fn watch_trackers(&mut self) {
        let is_late = |announce: &&UnderWay| announce.deadline <= self.now;
        let late: Vec<u64> = self.announcer.under_way.iter().filter(is_late).map(|late| late.tag).collect();
        for tag in late {
            let late = TrackerError::new(TrackerErrorKind::TimedOut, "the tracker did not answer in time");
            self.announced(tag, Err(late));
        }
        if self.announcer.check <= self.now {
            self.announcer.check = self.now + self.announcer.check_interval;
            let is_time = self.now.since(self.announcer.last_announce) > self.announcer.interval;
            if self.announcer.retry == Instant::NEVER && (is_time || self.wants_more_peers()) {
                self.announce(None);
            }
        }
        if self.announcer.retry <= self.now {
            self.announce(None);
        }
        for at in 0..self.announcer.sources.len() {
            if self.announcer.sources[at].next <= self.now {
                self.ask_source(at);
            }
        }
    }

    /// RR-10: someone who was reached from outside needs fewer, since others come by themselves.
    fn wants_more_peers(&self) -> bool {
        let settings = &self.settings.announce;
        let connections = self.facts.len();
        if self.peers.reached {
            connections <= (settings.min_peers / settings.reachable_divisor.max(1)) as usize
        } else {
            connections < settings.min_peers as usize
        }
    }
}
