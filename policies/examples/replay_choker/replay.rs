//! One recorded scenario of the choker: what the engine would do around `tit-for-tat`, event by event.

use std::collections::BTreeSet;
use std::convert::Infallible;

use bt_api::{
    Cause, ChokePolicy, Instant, Notice, OwnFacts, PeerEvent, PeerFacts, PeerKey, Rng, SwarmView, Unchokes,
};
use bt_policies::choke::max_uploads::MaxUploads;
use bt_policies::choke::tit_for_tat::{Config, TitForTat};
use serde::Deserialize;

/// A scenario as it is recorded.
#[derive(Deserialize)]
pub(crate) struct Scenario {
    max_uploads: usize,
    min_uploads: usize,
    seeding_at_start: bool,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(flatten)]
    what: What,
    /// The list after it.
    order: Vec<u32>,
    /// Who is unchoked after it, in any order.
    unchoked: BTreeSet<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum What {
    Connect {
        peer: u32,
        insert_at: u32,
        download_rate: f64,
        upload_rate: f64,
    },
    Disconnect {
        peer: u32,
    },
    Interested {
        peer: u32,
    },
    NotInterested {
        peer: u32,
    },
    SetRates {
        peer: u32,
        download_rate: f64,
        upload_rate: f64,
    },
    SetSnubbed {
        peer: u32,
        snubbed: bool,
    },
    SetSeeding {
        seeding: bool,
    },
    SetMaxUploads {
        value: usize,
    },
    #[serde(rename = "tick_10s")]
    Tick,
}

/// Replays `scenario` up to the first event after which the list or the unchoked peers differ; says how.
pub(crate) fn replay(scenario: &Scenario) -> Vec<String> {
    let mut client = Client::new(scenario);
    for (number, event) in scenario.events.iter().enumerate() {
        let told = |differences: Vec<String>| {
            let at = format!("event {}, {:?}", number + 1, event.what);
            differences.into_iter().map(|difference| format!("{at}: {difference}")).collect()
        };
        if let Err(difference) = client.event(&event.what) {
            return told(vec![difference]);
        }
        let (order, unchoked) = (client.order(), client.unchoked());
        let mut differences = Vec::new();
        if order != event.order {
            differences.push(format!("the order is {order:?}, recorded {:?}", event.order));
        }
        if unchoked != event.unchoked {
            differences.push(format!("unchoked are {unchoked:?}, recorded {:?}", event.unchoked));
        }
        if !differences.is_empty() {
            return told(differences);
        }
    }
    Vec::new()
}

/// A client around one choker.
struct Client {
    policy: TitForTat,
    weight: u32,
    own: OwnFacts,
    peers: Vec<PeerFacts>,
    now: Instant,
}

impl Client {
    fn new(scenario: &Scenario) -> Self {
        let max_uploads = MaxUploads::At(scenario.max_uploads);
        let config = Config { max_uploads, min_uploads: scenario.min_uploads, ..Config::default() };
        let weight = config.new_peer_weight;
        let policy =
            TitForTat::new(config).expect("the defaults are allowed, and so is any number of uploads");
        let mut own = OwnFacts::default();
        own.is_seed = scenario.seeding_at_start;
        let mut client = Self { policy, weight, own, peers: Vec::new(), now: Instant::ZERO };
        // The round in which a choker learns the time; its first by the clock comes ten seconds later.
        client.round(Cause::Timer);
        client
    }

    /// Does what is recorded, and runs the round that it causes.
    fn event(&mut self, what: &What) -> Result<(), String> {
        match *what {
            What::Connect { peer, insert_at, download_rate, upload_rate } => {
                let length = self.peers.len() as u32;
                if insert_at > length {
                    return Err(format!("there is no place {insert_at} in a list of {length}"));
                }
                let key = PeerKey(peer);
                let Err(at) = self.peers.binary_search_by_key(&key, |one| one.key) else {
                    return Err(format!("peer {peer} is connected already"));
                };
                let address = "192.0.2.1:6881".parse().expect("an address");
                let mut facts = PeerFacts::new(key, address, true, self.now, 1);
                facts.snubbed = false;
                (facts.download_rate, facts.upload_rate) = (whole(download_rate), whole(upload_rate));
                self.peers.insert(at, facts);
                // The first place has this many draws, each other one (CH-9).
                let mut draw = Scripted { draw: insert_at + self.weight - 1, bound: length + self.weight };
                self.notice(PeerEvent::Connected(key), &mut draw);
            }
            What::Disconnect { peer } => {
                let at = self.at(peer)?;
                let gone = self.peers.remove(at);
                self.notice(PeerEvent::Gone(&gone), &mut Scripted::none());
            }
            What::Interested { peer } => {
                self.peer(peer)?.peer_interested = true;
                self.notice(PeerEvent::Interested(PeerKey(peer)), &mut Scripted::none());
            }
            What::NotInterested { peer } => {
                self.peer(peer)?.peer_interested = false;
                self.notice(PeerEvent::NotInterested(PeerKey(peer)), &mut Scripted::none());
            }
            What::SetRates { peer, download_rate, upload_rate } => {
                let facts = self.peer(peer)?;
                (facts.download_rate, facts.upload_rate) = (whole(download_rate), whole(upload_rate));
            }
            What::SetSnubbed { peer, snubbed } => {
                self.peer(peer)?.snubbed = snubbed;
                if snubbed {
                    self.notice(PeerEvent::Snubbed(PeerKey(peer)), &mut Scripted::none());
                }
            }
            What::SetSeeding { seeding } => {
                self.own.is_seed = seeding;
                if seeding {
                    self.notice(PeerEvent::Completed, &mut Scripted::none());
                }
            }
            What::SetMaxUploads { value } => {
                self.policy.set_max_uploads(value);
                self.round(Cause::Event);
            }
            What::Tick => {
                self.now = self.policy.next_round();
                self.round(Cause::Timer);
            }
        }
        Ok(())
    }

    fn notice(&mut self, event: PeerEvent<'_>, rng: &mut dyn Rng) {
        let swarm = SwarmView::new(&self.own, &self.peers);
        if self.policy.notice(self.now, event, &swarm, rng) == Notice::Rechoke {
            self.round(Cause::Event);
        }
    }

    fn round(&mut self, cause: Cause) {
        let mut unchokes = Unchokes::new();
        let swarm = SwarmView::new(&self.own, &self.peers);
        self.policy.choose(self.now, cause, &swarm, &mut Scripted::none(), &mut unchokes);
        let served: BTreeSet<PeerKey> = unchokes.as_slice().iter().map(|one| one.peer).collect();
        for peer in &mut self.peers {
            peer.am_choking = !served.contains(&peer.key);
        }
    }

    fn order(&self) -> Vec<u32> {
        self.policy.order().iter().map(|peer| peer.0).collect()
    }

    fn unchoked(&self) -> BTreeSet<u32> {
        self.peers.iter().filter(|peer| !peer.am_choking).map(|peer| peer.key.0).collect()
    }

    fn peer(&mut self, peer: u32) -> Result<&mut PeerFacts, String> {
        let at = self.at(peer)?;
        Ok(&mut self.peers[at])
    }

    fn at(&self, peer: u32) -> Result<usize, String> {
        let at = self.peers.binary_search_by_key(&PeerKey(peer), |one| one.key);
        at.map_err(|_| format!("peer {peer} is not connected"))
    }
}

/// A rate that stands to others as `rate` does. Rates are recorded with fractions, policies see whole numbers, and
/// a choker only compares them: the bits of positive floats are in the order of the floats.
fn whole(rate: f64) -> u64 {
    rate.max(0.0).to_bits()
}

/// A generator whose draw below `bound` is `draw`.
struct Scripted {
    draw: u32,
    bound: u32,
}

impl Scripted {
    /// For where nothing is drawn.
    fn none() -> Self {
        Self { draw: 0, bound: 1 }
    }

    /// The middle of the words that come out as the draw of [`bt_api::rng::below`].
    fn word(&self) -> u32 {
        (((u64::from(self.draw) * 2 + 1) << 31) / u64::from(self.bound)) as u32
    }
}

impl rand::TryRng for Scripted {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.word())
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(self.word()) << 32)
    }
    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        into.fill(0);
        Ok(())
    }
}
