//! The least time in which everybody can have everything (Kumar and Ross, HotWeb 2006).

use super::{Group, Have, Scenario};

impl Scenario {
    /// A time in seconds, counted from the first arrival of a peer that lacks something, before which the last peer
    /// cannot be complete, whatever the policies:
    ///
    /// `max { F / u_s, max_i (M_i / d_i), sum_i M_i / (u_s + sum_i u_i) }`
    ///
    /// with `F` the length of the content, `M_i` what peer `i` lacks on arrival, `u` and `d` the links. In the first
    /// term `u_s` is the uplinks of all who hold something on arrival, if anybody comes with empty hands: all of it
    /// must leave the holders once. Likewise what a group lacks must leave those who hold any of it once. In the last
    /// term everybody's uplink counts.
    ///
    /// It holds for peers that arrive late or leave early too, if not as tightly. `None` where it does not apply: some
    /// may give up, it is open how many arrive, or no link has a limit.
    pub fn lower_bound(&self) -> Option<f64> {
        let groups = &self.groups;
        if groups.iter().any(|group| group.abandons.is_some() || group.count.is_none()) {
            return None;
        }
        let lacking = || groups.iter().filter(|group| !group.complete);
        let mut bound: f64 = 0.0;
        // What must leave those who hold any of it: everything, and what each group lacks.
        let empty = |group: &Group| !group.complete && group.have == Have::Fraction(0.0);
        if groups.iter().any(empty) {
            let holders = uplinks(groups.iter().filter(|group| !empty(group)));
            bound = bound.max(seconds(self.content.size as f64, holders));
        }
        for group in lacking() {
            if let Have::Missing(missing) = &group.have {
                let holders = uplinks(groups.iter().filter(|other| holds_any(other, missing)));
                bound = bound.max(seconds(self.bytes(missing), holders));
            }
        }
        let mut wanted = 0.0;
        for group in lacking() {
            let each = self.lacking_bytes(group);
            wanted += each * f64::from(group.count?);
            bound = bound.max(seconds(each, group.down.map(|rate| rate as f64)));
        }
        bound = bound.max(seconds(wanted, uplinks(groups.iter())));
        (bound > 0.0).then_some(bound)
    }

    fn bytes(&self, pieces: &[u32]) -> f64 {
        pieces.iter().map(|&piece| self.content.length_of(piece)).sum::<u64>() as f64
    }

    /// The least that a peer of `group` can lack on arrival, in bytes.
    fn lacking_bytes(&self, group: &Group) -> f64 {
        let pieces = self.content.pieces();
        match &group.have {
            Have::Missing(missing) => self.bytes(missing),
            // Which pieces is chance: the short last one may be among those that are missing.
            have => {
                let held = u64::from(have.count(pieces)) * u64::from(self.content.piece);
                self.content.size.saturating_sub(held) as f64
            }
        }
    }
}

/// Whether a peer of `group` may hold any of `pieces` on arrival.
fn holds_any(group: &Group, pieces: &[u32]) -> bool {
    match &group.have {
        _ if group.complete => true,
        Have::Fraction(part) => *part > 0.0,
        Have::Missing(missing) => pieces.iter().any(|piece| missing.binary_search(piece).is_err()),
    }
}

/// The uplinks of `groups` together; `None`: unlimited.
fn uplinks<'g>(groups: impl Iterator<Item = &'g Group>) -> Option<f64> {
    groups.map(|group| Some(group.up? as f64 * f64::from(group.count?))).sum()
}

fn seconds(bytes: f64, rate: Option<f64>) -> f64 {
    rate.filter(|&rate| rate > 0.0).map_or(0.0, |rate| bytes / rate)
}
