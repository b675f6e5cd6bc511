//! Rounds of the choke policy: when it is asked, and what becomes of its answer.

use std::time::Duration;

use bt_api::{Cause, SwarmView, Unchokes};

use super::Engine;
use crate::event::{Dir, Event};
use crate::wire::Message;

/// What a policy that wants a round at once, again and again, is put off by.
const SHORTEST_ROUND: Duration = Duration::from_millis(1);

/// How often the rates of all connections are logged; our own are at each round.
const RATES_EVERY: Duration = Duration::from_secs(60);

impl Engine {
    pub(super) fn settle_rounds(&mut self) {
        self.choke.look_at_clock(|policy| policy.next_round());
        if self.choke.due() <= self.now {
            self.choke.put_off(self.now + SHORTEST_ROUND);
            self.round_wanted = false;
            self.round(Cause::Timer);
            self.log_rates();
        }
        if std::mem::take(&mut self.round_wanted) {
            self.round(Cause::Event);
        }
    }

    fn round(&mut self, cause: Cause) {
        let now = self.now;
        for (facts, connection) in self.facts.iter_mut().zip(&mut self.connections) {
            facts.download_rate = connection.down.round(now);
            facts.upload_rate = connection.up.round(now);
        }
        self.own.download_rate = self.total_down.round(now);
        self.own.upload_rate = self.uplink.round(now);
        let mut unchokes = Unchokes::new();
        let swarm = SwarmView::new(&self.own, &self.facts);
        self.choke.call((), |policy, rng| policy.choose(now, cause, &swarm, rng, &mut unchokes));
        self.apply(&unchokes);
        for facts in &mut self.facts {
            (facts.downloaded_in_round, facts.uploaded_in_round) = (0, 0);
        }
    }

    /// Checks the answer and sends the difference: to each peer a message only if its state changes (CH-8).
    fn apply(&mut self, unchokes: &Unchokes) {
        let most = self.choke.peek(usize::MAX, |policy| policy.max_interested());
        let mut chosen = vec![None; self.facts.len()];
        let (mut interested, mut strangers, mut excess) = (0_usize, 0, 0);
        for unchoke in unchokes.as_slice() {
            let Some(at) = self.at(unchoke.peer) else {
                strangers += 1;
                continue;
            };
            if chosen[at].is_some() {
                continue;
            }
            if self.facts[at].peer_interested {
                if interested == most {
                    excess += 1;
                    continue;
                }
                interested += 1;
            }
            chosen[at] = Some((unchoke.share, unchoke.reason));
        }
        if strangers > 0 {
            self.choke_violation(format!("unchoked {strangers} peers that are not connected"));
        }
        if excess > 0 {
            self.choke_violation(format!("unchoked {excess} interested peers over its own limit of {most}"));
        }
        for (at, choice) in chosen.into_iter().enumerate() {
            let peer = self.facts[at].key.0;
            match choice {
                Some((share, reason)) => {
                    self.set_share(at, share);
                    self.connections[at].reason = Some(reason);
                    if self.facts[at].am_choking {
                        self.facts[at].am_choking = false;
                        self.facts[at].am_unchoked = Some(self.now);
                        self.event(|_| Event::Unchoke { peer, dir: Dir::To, reason: Some(reason.0.into()) });
                        self.send(at, Message::Unchoke);
                    }
                }
                None if !self.facts[at].am_choking => {
                    self.facts[at].am_choking = true;
                    self.event(|_| Event::Choke { peer, dir: Dir::To });
                    self.send(at, Message::Choke);
                    // A choke forgets what was asked (UP-8).
                    self.clear_queue(at);
                }
                None => {}
            }
        }
    }

    pub(super) fn choke_violation(&mut self, message: String) {
        self.choke.violated(&message);
        self.event(|engine| Event::PolicyViolation { policy: engine.choke.name.clone(), message });
    }

    fn log_rates(&mut self) {
        if !self.log {
            return;
        }
        let (down, up) = (self.own.download_rate, self.own.upload_rate);
        let (downloaded, uploaded) = (self.own.downloaded, self.own.uploaded);
        self.event(|_| Event::Rate { peer: None, down, up, downloaded, uploaded });
        if self.now < self.rates_due {
            return;
        }
        self.rates_due = self.now + RATES_EVERY;
        for at in 0..self.facts.len() {
            self.event(|engine| {
                let facts = &engine.facts[at];
                Event::Rate {
                    peer: Some(facts.key.0),
                    down: facts.download_rate,
                    up: facts.upload_rate,
                    downloaded: facts.downloaded,
                    uploaded: facts.uploaded,
                }
            });
        }
    }
}
