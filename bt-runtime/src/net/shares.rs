//! One limit on upload for all torrents: each engine is told its part.

use std::collections::BTreeMap;

/// A torrent keeps at least its equal part divided by this, however little it sends: with next to nothing
/// it could not send one block in the second that shows that it wants to.
const FLOOR_DIVISOR: u64 = 4;

/// Divides the limit on upload among torrents, by what they send.
pub(crate) struct UploadShares<K> {
    /// What each torrent had sent when it was last looked at, and its present part.
    torrents: BTreeMap<K, (u64, u64)>,
}

impl<K> Default for UploadShares<K> {
    fn default() -> Self {
        Self { torrents: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> UploadShares<K> {
    /// The part of each torrent in bytes per second, given all that each has `sent` by now; to be called
    /// once a second. Who used less than its part gets a little more than it used; the others share the rest.
    pub(crate) fn divide(&mut self, limit: u64, sent: &[(K, u64)]) -> Vec<(K, u64)> {
        let floor = limit / (FLOOR_DIVISOR * sent.len().max(1) as u64);
        let mut demands: Vec<(K, u64)> = Vec::new();
        for &(torrent, total) in sent {
            let known = self.torrents.get(&torrent);
            let demand = known.map_or(u64::MAX, |&(before, part)| {
                let used = total.saturating_sub(before);
                if used >= part / 10 * 9 { u64::MAX } else { (used + used / 4).max(floor) }
            });
            demands.push((torrent, demand));
        }
        // The modest first: what each leaves of an equal part is shared by those after it.
        demands.sort_by_key(|&(torrent, demand)| (demand, torrent));
        let (mut left, mut parts) = (limit, Vec::new());
        for (i, &(torrent, demand)) in demands.iter().enumerate() {
            let part = demand.min(left / (demands.len() - i) as u64);
            left -= part;
            parts.push((torrent, part));
        }
        // What nobody asked for goes to all, so that a torrent that wakes up can start at once.
        if let Some(extra) = left.checked_div(parts.len() as u64) {
            parts.iter_mut().for_each(|(_, part)| *part += extra);
        }
        let total = |torrent| sent.iter().find(|(one, _)| *one == torrent).map_or(0, |&(_, total)| total);
        self.torrents = parts.iter().map(|&(torrent, part)| (torrent, (total(torrent), part))).collect();
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busy_share_what_the_idle_leave() {
        let mut shares = UploadShares::default();
        assert_eq!(shares.divide(900, &[(0, 0), (1, 0), (2, 0)]), [(0, 300), (1, 300), (2, 300)]);
        let parts: BTreeMap<_, _> = shares.divide(900, &[(0, 300), (1, 0), (2, 300)]).into_iter().collect();
        assert_eq!(parts.values().sum::<u64>(), 900);
        assert!(parts[&1] == 75 && parts[&0].abs_diff(parts[&2]) <= 1 && parts[&0] > 400, "{parts:?}");
        let parts: BTreeMap<_, _> = shares.divide(900, &[(0, 700), (1, 70), (2, 700)]).into_iter().collect();
        assert!(parts[&1] > 200, "one that uses its part gets a whole one: {parts:?}");
        let mut sent = 700;
        for _ in 0..50 {
            sent += 500;
            let parts: BTreeMap<_, _> =
                shares.divide(900, &[(0, sent), (1, 70), (2, sent)]).into_iter().collect();
            assert!(parts[&1] >= 75, "an idle one keeps enough to show that it wants more: {parts:?}");
        }
        assert!(shares.divide(900, &[]).is_empty());
    }
}
