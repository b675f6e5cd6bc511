use proptest::prelude::*;

use super::*;

/// The rates of flows (up, down, weight, cap) over links of some capacity: the textbook's progressive filling, step
/// by step, written apart from the rest.
fn reference(capacities: &[f64], flows: &[(usize, usize, f64, f64)]) -> Vec<f64> {
    let mut rates = vec![None; flows.len()];
    while rates.contains(&None) {
        let mut room = capacities.to_vec();
        let mut rising = vec![0.0; capacities.len()];
        for (&(up, down, weight, _), rate) in flows.iter().zip(&rates) {
            for link in [up, down] {
                room[link] -= rate.unwrap_or(0.0);
                rising[link] += if rate.is_none() { weight } else { 0.0 };
            }
        }
        // The level at which something would stop each flow; the lowest comes first.
        let full = |link: usize| room[link].max(0.0) / rising[link];
        let stops: Vec<f64> =
            flows.iter().map(|&(up, down, weight, cap)| full(up).min(full(down)).min(cap / weight)).collect();
        let going = (0..flows.len()).filter(|&flow| rates[flow].is_none());
        let level = going.clone().map(|flow| stops[flow]).fold(f64::INFINITY, f64::min);
        for flow in going.filter(|&flow| stops[flow] <= level).collect::<Vec<_>>() {
            rates[flow] = Some(flows[flow].2 * level);
        }
    }
    rates.into_iter().flatten().collect()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// A swarm with a list of its flows beside it.
struct Model {
    sharing: Sharing,
    links: Vec<LinkId>,
    flows: Vec<(FlowId, usize, usize, u32, Option<u64>)>,
}

impl Model {
    fn new(capacities: &[Option<u64>]) -> Self {
        let mut sharing = Sharing::new();
        let links = capacities.iter().map(|&capacity| sharing.add_link(capacity)).collect();
        Self { sharing, links, flows: Vec::new() }
    }

    fn start(&mut self, up: usize, down: usize, weight: u32, cap: Option<u64>) {
        let flow = self.sharing.start(self.links[up], self.links[down], weight, cap);
        self.flows.push((flow, up, down, weight, cap));
    }

    fn rates(&self) -> Vec<f64> {
        self.flows.iter().map(|flow| self.sharing.rate(flow.0)).collect()
    }

    /// Compares every rate and load with the reference.
    fn check(&self) {
        let sharing = &self.sharing;
        let capacity = |link| sharing.capacity(link).unwrap_or(f64::INFINITY);
        let capacities: Vec<f64> = self.links.iter().map(|&link| capacity(link)).collect();
        let flows: Vec<_> = (self.flows.iter())
            .map(|&(_, up, down, weight, cap)| {
                (up, down, f64::from(weight.max(1)), cap.map_or(CEILING, |cap| CEILING.min(cap as f64)))
            })
            .collect();
        // What others leave of a large link is known to its last digits only, and so are all shares that hang on it.
        let digits = 1e-11 * capacities.iter().copied().filter(|most| most.is_finite()).fold(0.0, f64::max);
        for ((rate, wanted), flow) in self.rates().into_iter().zip(reference(&capacities, &flows)).zip(&flows)
        {
            let same = near(rate, wanted) || (rate - wanted).abs() <= digits;
            assert!(same, "{flow:?} gets {rate}, not {wanted}");
        }
        for &link in &self.links {
            assert!(sharing.load(link) <= capacity(link) * (1.0 + 1e-9), "{link:?} is over its capacity");
        }
    }
}

fn rates(capacities: &[Option<u64>], flows: &[(usize, usize, u32, Option<u64>)]) -> Vec<f64> {
    let mut model = Model::new(capacities);
    flows.iter().for_each(|&(up, down, weight, cap)| model.start(up, down, weight, cap));
    model.sharing.settle();
    model.check();
    model.rates()
}

#[test]
fn a_link_is_shared_equally_by_weight_and_below_caps() {
    let links = [Some(1200), None, None, None];
    assert_eq!(rates(&links, &[(0, 1, 1, None), (0, 2, 1, None), (0, 3, 1, None)]), [400.0, 400.0, 400.0]);
    assert_eq!(rates(&links, &[(0, 1, 3, None), (0, 2, 2, None), (0, 3, 1, None)]), [600.0, 400.0, 200.0]);
    assert_eq!(rates(&links, &[(0, 1, 1, Some(100)), (0, 2, 1, None)]), [100.0, 1100.0]);
    assert_eq!(rates(&links, &[(0, 1, 1, Some(100)), (0, 2, 1, Some(0))]), [100.0, 0.0]);
    assert_eq!(rates(&links, &[(0, 1, 0, None), (0, 2, 1, None)]), [600.0, 600.0], "0 counts as 1");
}

#[test]
fn what_one_link_leaves_another_takes() {
    // Uplinks 0 and 1, downlinks 2 and 3: downlink 2 holds back both flows into it, so uplink 0 has more for 3.
    let links = [Some(1000), Some(1000), Some(400), Some(5000)];
    assert_eq!(rates(&links, &[(0, 2, 1, None), (1, 2, 1, None), (0, 3, 1, None)]), [200.0, 200.0, 800.0]);
}

#[test]
fn links_without_limit_and_without_capacity() {
    assert_eq!(rates(&[None, None], &[(0, 1, 1, None), (0, 1, 5, Some(u64::MAX))]), [CEILING, CEILING]);
    assert_eq!(rates(&[None, None], &[(0, 1, 1, Some(77))]), [77.0]);
    assert_eq!(rates(&[Some(0), None, None], &[(0, 1, 1, None), (2, 1, 1, Some(5))]), [0.0, 5.0]);
}

#[test]
fn a_settling_tells_each_change_once() {
    let mut model = Model::new(&[Some(1000), None, None]);
    model.start(0, 1, 1, None);
    assert_eq!(model.sharing.rate(model.flows[0].0), 0.0, "not settled yet");
    model.start(0, 2, 1, None);
    let (a, b) = (model.flows[0].0, model.flows[1].0);
    assert_eq!(model.sharing.settle(), [a, b]);
    assert_eq!(model.sharing.settle(), []);
    model.sharing.change(a, 3, None);
    model.sharing.change(a, 1, None);
    assert_eq!(model.sharing.settle(), [], "back to what it was");
    model.sharing.stop(b);
    assert_eq!(model.sharing.settle(), [a]);
    assert_eq!(model.sharing.rate(a), 1000.0);

    // A number that is used again stands for the new flow, which is told even at a rate of 0.
    let c = model.sharing.start(model.links[0], model.links[1], 1, Some(0));
    assert_eq!(c, b);
    assert_eq!(model.sharing.settle(), [c]);
    model.sharing.stop(c);
    let d = model.sharing.start(model.links[0], model.links[1], 1, Some(0));
    model.sharing.stop(d);
    assert_eq!(model.sharing.settle(), []);
    model.sharing.stop(a);
    model.links.iter().for_each(|&link| model.sharing.remove_link(link));
    assert_eq!(model.sharing.add_link(Some(7)).index(), 2);
    assert_eq!(model.sharing.capacity(model.links[2]), Some(7.0));
}

#[test]
fn a_link_with_very_many_flows() {
    let mut model = Model::new(&[None]);
    for peer in 1..=10_000 {
        model.links.push(model.sharing.add_link(Some(peer)));
        model.start(0, peer as usize, 1, None);
    }
    assert_eq!(model.sharing.settle().len(), 10_000);
    assert_eq!(model.rates()[4999], 5000.0);
    assert_eq!(model.sharing.load(model.links[0]), 50_005_000.0);
}

#[derive(Clone, Debug)]
enum Call {
    Start(usize, usize, u32, Option<u64>),
    Stop(usize),
    Change(usize, u32, Option<u64>),
    Settle,
}

/// Few different numbers make ties, many make none.
fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => prop::sample::select(vec![16_000, 48_000, 50_000, 100_000, 187_500, 625_000]),
        2 => 1_u64..2_000_000,
        1 => Just(0),
    ]
}

fn call(links: usize) -> impl Strategy<Value = Call> {
    let cap = || prop::option::weighted(0.3, bytes());
    let weight = || prop_oneof![2 => Just(1_u32), 1 => 1_u32..10, 1 => 1_u32..1000];
    prop_oneof![
        4 => (0..links, 0..links, weight(), cap()).prop_map(|(a, b, weight, cap)| Call::Start(a, b, weight, cap)),
        3 => any::<prop::sample::Index>().prop_map(|i| Call::Stop(i.index(1 << 20))),
        1 => (any::<prop::sample::Index>(), weight(), cap())
            .prop_map(|(i, weight, cap)| Call::Change(i.index(1 << 20), weight, cap)),
        4 => Just(Call::Settle),
    ]
}

fn swarm(calls: usize) -> impl Strategy<Value = (Vec<Option<u64>>, Vec<Call>)> {
    (2_usize..24).prop_flat_map(move |links| {
        let capacities = prop::collection::vec(prop::option::weighted(0.9, bytes()), links);
        (capacities, prop::collection::vec(call(links), 1..calls))
    })
}

/// Makes the calls; after each settling all is as the reference has it, and every change was told.
fn run(capacities: &[Option<u64>], calls: &[Call], steps: Option<usize>) {
    let mut model = Model::new(capacities);
    let mut told: Vec<(FlowId, f64)> = Vec::new();
    for call in calls.iter().chain([&Call::Settle]) {
        match *call {
            Call::Start(up, down, weight, cap) if up != down => model.start(up, down, weight, cap),
            Call::Stop(i) if !model.flows.is_empty() => {
                let flow = model.flows.remove(i % model.flows.len()).0;
                model.sharing.stop(flow);
                told.retain(|known| known.0 != flow);
            }
            Call::Change(i, weight, cap) if !model.flows.is_empty() => {
                let i = i % model.flows.len();
                let flow = &mut model.flows[i];
                (flow.3, flow.4) = (weight, cap);
                model.sharing.change(flow.0, weight, cap);
            }
            Call::Settle => {
                let changed = match steps {
                    Some(steps) => model.sharing.settle_within(steps).to_vec(),
                    None => model.sharing.settle().to_vec(),
                };
                for flow in changed {
                    let rate = model.sharing.rate(flow);
                    assert!(!told.contains(&(flow, rate)), "{flow:?} did not change");
                    told.retain(|known| known.0 != flow);
                    told.push((flow, rate));
                }
                assert_eq!(told.len(), model.flows.len(), "every flow was told");
                assert!(
                    told.iter().all(|&(flow, rate)| model.sharing.rate(flow) == rate),
                    "every change was told"
                );
                model.check();
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn it_is_as_a_full_solve_says((capacities, calls) in swarm(400)) {
        run(&capacities, &calls, None);
    }

    #[test]
    fn from_scratch_it_comes_out_the_same((capacities, calls) in swarm(100), steps in 0_usize..12) {
        run(&capacities, &calls, Some(steps));
    }

    #[test]
    fn the_order_of_the_calls_is_of_no_account((capacities, calls) in swarm(150)) {
        let starts = |calls: &mut dyn Iterator<Item = &Call>| {
            let mut model = Model::new(&capacities);
            for call in calls {
                if let Call::Start(up, down, weight, cap) = *call && up != down {
                    model.start(up, down, weight, cap);
                    model.sharing.settle();
                }
            }
            model.rates()
        };
        let forwards = starts(&mut calls.iter());
        let backwards = starts(&mut calls.iter().rev());
        for (a, b) in forwards.iter().zip(backwards.iter().rev()) {
            prop_assert!(near(*a, *b), "{a} {b}");
        }
    }
}
