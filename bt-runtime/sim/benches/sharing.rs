//! What it costs to move one upload slot: a flow ends, another of the same uploader begins, all rates are settled.
//!
//! Each peer uploads to five others, drawn at random. The mixes of capacity are those of Bharambe et al.: four
//! classes, all alike with a slow uplink (only uplinks are ever full), all alike in both directions (every link is
//! full or nearly, so that a move reaches furthest).

use bt_api::rng::{Generator, below, stream};
use bt_sim::sharing::{FlowId, LinkId, Sharing};
use criterion::{Criterion, criterion_group, criterion_main};

const UPLOADS: u32 = 5;

/// Down and up in kbit/s, and of how many in a hundred.
type Mix = &'static [(u64, u64, u32)];

const MIXES: [(&str, Mix); 3] = [
    ("bharambe-4", &[(784, 128, 20), (1500, 384, 40), (3000, 1000, 25), (10_000, 5000, 15)]),
    ("homogeneous", &[(1500, 400, 100)]),
    ("symmetric", &[(400, 400, 100)]),
];

struct Swarm {
    sharing: Sharing,
    peers: Vec<(LinkId, LinkId)>,
    /// Each with its uploader.
    flows: Vec<(FlowId, usize)>,
    rng: Generator,
}

impl Swarm {
    fn new(count: usize, mix: Mix) -> Self {
        let mut rng = stream(1, 0, "bench");
        let mut sharing = Sharing::new();
        let peers = (0..count)
            .map(|_| {
                let mut place = below(&mut rng, 100);
                let class = mix.iter().find(|class| {
                    let here = place < class.2;
                    place = place.saturating_sub(class.2);
                    here
                });
                let &(down, up, _) = class.expect("the parts make a hundred");
                (sharing.add_link(Some(up * 125)), sharing.add_link(Some(down * 125)))
            })
            .collect();
        let mut swarm = Self { sharing, peers, flows: Vec::new(), rng };
        for uploader in 0..count {
            for _ in 0..UPLOADS {
                let flow = swarm.start(uploader);
                swarm.flows.push((flow, uploader));
            }
        }
        swarm.sharing.settle();
        swarm
    }

    fn start(&mut self, uploader: usize) -> FlowId {
        let step = 1 + below(&mut self.rng, self.peers.len() as u32 - 1) as usize;
        let to = (uploader + step) % self.peers.len();
        self.sharing.start(self.peers[uploader].0, self.peers[to].1, 1, None)
    }

    /// Gives how many flows have another rate.
    fn move_slot(&mut self) -> usize {
        let place = below(&mut self.rng, self.flows.len() as u32) as usize;
        let (flow, uploader) = self.flows[place];
        self.sharing.stop(flow);
        self.flows[place].0 = self.start(uploader);
        self.sharing.settle().len()
    }
}

fn slot_moves(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sharing");
    for (name, mix) in MIXES {
        for count in [1000, 10_000] {
            let mut swarm = Swarm::new(count, mix);
            group.bench_function(format!("{name}/{count}"), |bencher| bencher.iter(|| swarm.move_slot()));
        }
    }
    group.finish();
}

criterion_group!(benches, slot_moves);
criterion_main!(benches);
