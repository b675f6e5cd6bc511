use bt_api::Instant;
use bt_engine::Event;
use bt_policies as _;
use bt_runtime::Profile;
use bt_sim::scenario::*;
use bt_sim::*;
use bt_storage as _;
use std::sync::Arc;
use std::time::Duration;
struct O {
    n: u64,
    done: Vec<f64>,
    c: std::collections::BTreeMap<String, u64>,
    detail: bool,
}
impl Observer for O {
    fn event(&mut self, now: Instant, _node: u32, event: &Event) {
        self.n += 1;
        if self.detail {
            let s = format!("{event:?}");
            let k = s.split([' ', '{']).next().unwrap().to_owned()
                + if s.contains("dir: To") { "To" } else { "" };
            *self.c.entry(k).or_default() += 1;
        }
        if let Event::Complete { .. } = event {
            self.done.push(now.as_secs_f64());
        }
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let n: u32 = a[1].parse().unwrap();
    let mib: u64 = a[2].parse().unwrap();
    let piece = a.get(3).is_some_and(|g| g == "piece");
    let profile = Arc::new(
        Profile::load(&format!("{}/../../bins/profiles/mainline.toml", env!("CARGO_MANIFEST_DIR")), &[])
            .unwrap(),
    );
    let group = |name: &str, count, complete, up: u64, down: Option<u64>| Group {
        name: name.into(),
        count: Some(count),
        complete,
        have: Have::Fraction(0.0),
        up: Some(up),
        down,
        profile: profile.clone(),
        arrives: Arrivals::At(Duration::ZERO),
        leaves: Leaves::Never,
        abandons: None,
    };
    let s = Scenario {
        name: "x".into(),
        content: Content { size: mib << 20, piece: 256 << 10, coded: false },
        network: Network {
            model: Model::MaxMin,
            delay: Duration::from_millis(50),
            granularity: if piece { Granularity::Piece } else { Granularity::Block },
        },
        tracker: Tracker { reply: 50 },
        run: Run { until: Until::AllComplete, limit: Duration::from_secs(7 * 86400), seed: 1 },
        groups: vec![
            group("seed", 1, true, 750_000, None),
            group("leecher", n, false, 50_000, Some(187_500)),
        ],
    };
    let mut o = O { n: 0, done: vec![], c: Default::default(), detail: a.len() > 4 };
    let r = simulate(&s, 1, &mut o);
    println!(
        "{r:?} events {} first {:?} mid {:?} last {:?}",
        o.n,
        o.done.first(),
        o.done.get(o.done.len() / 2),
        o.done.last()
    );
    for (k, v) in o.c {
        println!("{k} {v}");
    }
}
