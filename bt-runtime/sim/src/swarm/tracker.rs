//! The tracker: it knows everyone who announced and did not stop, and names some of them at random.
//!
//! Announces come to it straight from engines, or, where the scenario has tracker clients take part, over the simulated
//! network (`server`).

pub(crate) mod http;
pub(super) mod server;
pub(super) mod udp;

use std::collections::BTreeMap;
use std::time::Duration;

use bt_api::rng::{self, Generator};
use bt_api::{Announce, AnnounceEvent, AnnounceReply, PeerAddress, ScrapeReply};

use super::address_of;

/// What it asks for between announces, as most trackers do.
const INTERVAL: Duration = Duration::from_secs(1800);

/// The tracker of one torrent.
pub(crate) struct Tracker {
    /// Most peers in a reply.
    reply: u32,
    /// Who takes part.
    present: Vec<u32>,
    /// Where each of them stands in `present`, and whether it has everything.
    places: BTreeMap<u32, (u32, bool)>,
    /// How many have everything.
    complete: u64,
    /// How many said that they got everything.
    downloaded: u64,
}

impl Tracker {
    pub(crate) fn new(reply: u32) -> Self {
        Self { reply, present: Vec::new(), places: BTreeMap::new(), complete: 0, downloaded: 0 }
    }

    /// Takes the announce of `node`, whose draws come from `rng`.
    pub(crate) fn announce(&mut self, node: u32, announce: &Announce, rng: &mut Generator) -> AnnounceReply {
        if announce.event == Some(AnnounceEvent::Stopped) {
            self.forget(node);
            return AnnounceReply::default();
        }
        self.downloaded += u64::from(announce.event == Some(AnnounceEvent::Completed));
        let wanted = announce.peers_wanted.unwrap_or(self.reply).min(self.reply);
        let peers = self.draw(node, wanted, rng);
        self.remember(node, announce.left == 0);
        AnnounceReply {
            interval: Some(INTERVAL),
            peers: peers
                .into_iter()
                .map(|peer| PeerAddress { address: address_of(peer), id: None })
                .collect(),
            complete: Some(self.complete),
            incomplete: Some(self.present.len() as u64 - self.complete),
            ..AnnounceReply::default()
        }
    }

    /// How many there are (BEP 48).
    pub(super) fn counts(&self) -> ScrapeReply {
        let incomplete = self.present.len() as u64 - self.complete;
        ScrapeReply { complete: self.complete, incomplete, downloaded: self.downloaded }
    }

    fn remember(&mut self, node: u32, seed: bool) {
        let next = self.present.len() as u32;
        let (place, was_seed) = self.places.entry(node).or_insert((next, false));
        if *place == next {
            self.present.push(node);
        }
        self.complete += u64::from(seed);
        self.complete -= u64::from(std::mem::replace(was_seed, seed));
    }

    fn forget(&mut self, node: u32) {
        let Some((place, seed)) = self.places.remove(&node) else { return };
        self.complete -= u64::from(seed);
        self.present.swap_remove(place as usize);
        if let Some(moved) = self.present.get(place as usize) {
            self.places.get_mut(moved).expect("it is present").0 = place;
        }
    }

    /// So many of those present but `node`, each set as likely as any other, in random order (Floyd's algorithm:
    /// Bentley and Floyd, "A sample of brilliance", 1987).
    fn draw(&self, node: u32, wanted: u32, rng: &mut Generator) -> Vec<u32> {
        // Whoever asks is taken out by standing at the end, as it were.
        let own = self.places.get(&node).map(|(place, _)| *place);
        let others = self.present.len() as u32 - u32::from(own.is_some());
        let mut chosen: Vec<u32> = Vec::new();
        for upper in others.saturating_sub(wanted)..others {
            let place = rng::below(rng, upper + 1);
            chosen.push(if chosen.contains(&place) { upper } else { place });
        }
        rng::shuffle(rng, &mut chosen);
        let skip = |place: u32| if own.is_some_and(|own| place >= own) { place + 1 } else { place };
        chosen.into_iter().map(|place| self.present[skip(place) as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bt_api::{InfoHash, PeerId};

    use super::*;

    fn announce(event: Option<AnnounceEvent>, wanted: Option<u32>) -> Announce {
        Announce {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([1; 20]),
            port: 6881,
            ip: None,
            key: 0,
            uploaded: 0,
            downloaded: 0,
            left: 1,
            event,
            peers_wanted: wanted,
            compact: true,
            tracker_id: None,
            last: None,
        }
    }

    #[test]
    fn it_names_some_of_the_others_each_as_often_as_any() {
        let mut tracker = Tracker::new(3);
        let mut rng = rng::stream(1, 0, "tracker");
        for node in 0..6 {
            let reply = tracker.announce(node, &announce(Some(AnnounceEvent::Started), None), &mut rng);
            assert_eq!(reply.peers.len(), node.min(3) as usize);
        }
        let mut counts = [0; 6];
        for _ in 0..5000 {
            let named = tracker.draw(2, 3, &mut rng);
            assert_eq!(named.iter().collect::<BTreeSet<_>>().len(), 3, "each once");
            named.into_iter().for_each(|node| counts[node as usize] += 1);
        }
        assert_eq!(counts[2], 0, "nobody is named to itself");
        let even = |count: i32| (2800..3200).contains(&count);
        assert!(counts.iter().enumerate().all(|(node, &count)| node == 2 || even(count)), "{counts:?}");
    }

    #[test]
    fn who_stopped_is_not_named_and_who_wants_none_gets_none() {
        let mut tracker = Tracker::new(50);
        let mut rng = rng::stream(1, 0, "tracker");
        for node in 0..3 {
            tracker.announce(node, &announce(None, None), &mut rng);
        }
        tracker.announce(0, &announce(Some(AnnounceEvent::Stopped), None), &mut rng);
        assert_eq!(tracker.draw(1, 50, &mut rng), [2]);
        assert!(tracker.announce(1, &announce(None, Some(0)), &mut rng).peers.is_empty());
        tracker.announce(
            2,
            &Announce { left: 0, ..announce(Some(AnnounceEvent::Completed), None) },
            &mut rng,
        );
        assert_eq!(tracker.counts(), ScrapeReply { complete: 1, incomplete: 1, downloaded: 1 });
    }
}
