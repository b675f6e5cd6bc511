use bt_api::Instant;
use bt_engine::Event;
use {bt_policies as _, bt_storage as _};

use super::*;
use crate::{Ended, Observer, Scenario, simulate};

const SCENARIO: &str = r#"
[content]
size = "3 MiB"
piece = "64 KiB"
coded = true
[network]
delay = "50 ms"
[tracker]
reply = 4
[[peers]]
name = "seed"
count = 1
complete = true
up = "400 kbit/s"
down = "unlimited"
profile = { choke.use = "tit-for-tat", piece.use = "rarest-first", storage.use = "memory", tracker.use = "http" }
[[peers]]
name = "leecher"
count = 15
up = "400 kbit/s"
down = "1500 kbit/s"
arrives = { rate = "0.5/s" }
profile = { choke.use = "tit-for-tat", piece.use = "rarest-first", storage.use = "memory", tracker.use = "http" }
"#;

fn load(sets: &[&str]) -> Scenario {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    Scenario::from_text("coded", SCENARIO, &sets).unwrap()
}

/// When everybody was done.
#[derive(Default)]
struct Ends(Vec<f64>);

impl Observer for Ends {
    fn event(&mut self, now: Instant, _: u32, event: &Event) {
        if matches!(event, Event::Complete { .. }) {
            self.0.push(now.as_secs_f64());
        }
    }
}

/// The mean time at which a peer is done, over a few seeds; every run ends and keeps all assertions.
fn mean_end(sets: &[&str]) -> f64 {
    let scenario = load(sets);
    let mut ends = Ends::default();
    for seed in 1..=6 {
        assert_eq!(simulate(&scenario, seed, &mut ends).unwrap().ended, Ended::Done, "{sets:?}, seed {seed}");
    }
    let peers = scenario.groups[1].count.unwrap() as usize;
    assert_eq!(ends.0.len(), 6 * peers, "{sets:?}");
    ends.0.iter().sum::<f64>() / ends.0.len() as f64
}

#[test]
fn a_coded_swarm_ends_and_is_not_slower_than_rarest_first() {
    for sets in [
        &[][..],
        &["peers.leecher.leaves=on-complete"],
        &["peers.seed.up=4 Mbit/s", "network.granularity=piece", "network.delay=0"],
        &["peers.seed.up=150 kbit/s", "peers.leecher.upload.choked-request=reject"],
    ] {
        let plain = mean_end(&[sets, &["content.coded=false"]].concat());
        let coded = mean_end(sets);
        assert!(coded < 1.03 * plain, "{sets:?}: {coded} s, rarest first {plain} s");
    }
}

#[test]
fn who_asks_in_order_is_faster_with_it() {
    // Whoever asks in order wants what the others have too.
    let sets = ["peers.leecher.piece.use=sequential", "peers.seed.up=800 kbit/s"];
    let plain = mean_end(&[&sets[..], &["content.coded=false"]].concat());
    let coded = mean_end(&sets);
    assert!(coded < plain, "{coded} s, in order {plain} s");
}

#[test]
fn the_same_run_is_the_same_twice() {
    let run = || {
        let mut ends = Ends::default();
        let outcome = simulate(&load(&[]), 3, &mut ends).unwrap();
        (outcome, ends.0)
    };
    assert_eq!(run(), run());
}

#[test]
fn what_has_a_name_keeps_it_and_every_name_is_another_piece() {
    let mut names = Names::new(5);
    names.call(PieceIndex(0), PieceIndex(1));
    names.call(PieceIndex(2), PieceIndex(2));
    names.call_all();
    assert_eq!(names.own[&PieceIndex(1)], PieceIndex(0));
    assert_eq!(names.own[&PieceIndex(3)], PieceIndex(3));
    let pieces: std::collections::BTreeSet<PieceIndex> = names.own.values().copied().collect();
    assert!(names.told.is_full() && pieces.len() == 5);
}

#[test]
fn who_comes_with_a_part_and_pieces_of_unequal_length_are_refused() {
    let refused = |set: &str| Scenario::from_text("s", SCENARIO, &[set.to_owned()]).unwrap_err().to_string();
    assert!(refused("peers.leecher.have=0.5").contains("with everything or with nothing"));
    assert!(refused("content.size=1000 KiB").contains("a multiple of `piece`"));
    assert!(load(&[]).to_toml().contains("coded = true"));
}
