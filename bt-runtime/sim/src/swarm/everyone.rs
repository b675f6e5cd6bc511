//! Who has what in the whole swarm, for policies that are to see it: kept only when there is such a policy.

use bt_api::{Oracle, PieceIndex, PieceSet};

use crate::Scenario;
use crate::scenario::Group;

/// The pieces of every peer.
pub(super) struct Everyone {
    oracle: Oracle,
    /// By node, what of it is counted; nothing of those that left.
    held: Vec<PieceSet>,
}

impl Everyone {
    /// For the policies of `scenario`, if one of them is for the lab only.
    pub(super) fn new(scenario: &Scenario) -> Option<Self> {
        let pieces = scenario.content.pieces();
        let wanted = scenario.groups.iter().any(sees_everyone);
        wanted.then(|| Self { oracle: Oracle::new(pieces), held: Vec::new() })
    }

    /// The next node is one of `group` and has `have`. Says what its policies may see.
    pub(super) fn arrived(&mut self, group: &Group, have: &PieceSet) -> Option<Oracle> {
        have.iter().for_each(|piece| self.oracle.gained(piece));
        self.held.push(have.clone());
        sees_everyone(group).then(|| self.oracle.clone())
    }

    /// `node` has `piece` now; perhaps it had it before, and its store had lost it.
    pub(super) fn verified(&mut self, node: u32, piece: PieceIndex) {
        if self.held[node as usize].insert(piece) {
            self.oracle.gained(piece);
        }
    }

    /// `node` takes part no longer.
    pub(super) fn left(&mut self, node: u32) {
        let held = std::mem::replace(&mut self.held[node as usize], PieceSet::new(0));
        held.iter().for_each(|piece| self.oracle.lost(piece));
    }
}

fn sees_everyone(group: &Group) -> bool {
    group.profile.plugins().any(|plugin| plugin.lab_only)
}

#[cfg(test)]
mod tests {
    use bt_policies as _;
    use bt_storage as _;

    use super::*;

    /// A seed with the usual picker and leechers with `picker`; four pieces.
    fn scenario(picker: &str) -> Scenario {
        let group = |name, more, picker| {
            format!(
                "[[peers]]\nname = '{name}'\ncount = 2\nup = '1 MiB/s'\ndown = '1 MiB/s'\n{more}\nprofile = {{ \
                 choke.use = 'random', piece.use = '{picker}', storage.use = 'memory', tracker.use = 'http' }}\n"
            )
        };
        let content = "[content]\nsize = '1 MiB'\npiece = '256 KiB'\n";
        let groups = [group("seed", "complete = true", "sequential"), group("leecher", "", picker)];
        Scenario::from_text("s", &(content.to_owned() + &groups.concat()), &[]).unwrap()
    }

    fn copies(oracle: &Oracle) -> [u32; 4] {
        [0, 1, 2, 3].map(|piece| oracle.copies(PieceIndex(piece)))
    }

    #[test]
    fn only_policies_that_ask_are_lent_the_counts_and_they_are_true() {
        let scenario = scenario("global-rarest");
        let [seeds, leechers] = [&scenario.groups[0], &scenario.groups[1]];
        let mut everyone = Everyone::new(&scenario).expect("a policy asks");
        assert!(everyone.arrived(seeds, &PieceSet::full(4)).is_none());
        let oracle = everyone.arrived(leechers, &PieceSet::new(4)).expect("it asks");
        assert_eq!(copies(&oracle), [1, 1, 1, 1]);
        everyone.verified(1, PieceIndex(2));
        everyone.verified(1, PieceIndex(2));
        assert_eq!(copies(&oracle), [1, 1, 2, 1], "whoever has it once more has it once");
        everyone.left(0);
        everyone.left(0);
        assert_eq!(copies(&oracle), [0, 0, 1, 0]);
        assert!(Everyone::new(&self::scenario("sequential")).is_none(), "nobody asks, and nothing is kept");
    }
}
