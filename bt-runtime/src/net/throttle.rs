//! The limits of the whole process: download by a token bucket in front of the sockets, upload by giving
//! each torrent its part.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_std::task;

/// How much may be read at once after a pause, as time at the limit: enough to wake up late, little enough
/// to be even within a second.
const BURST: Duration = Duration::from_millis(100);

/// The least that is read at a time: a reader of a few bytes would be woken for each packet.
const LEAST_READ: u64 = 4 << 10;

/// Bounds what all sockets together read.
pub(crate) struct Throttle(Option<Bucket>);

struct Bucket {
    /// Bytes per second; not 0.
    rate: u64,
    state: Mutex<Credit>,
}

struct Credit {
    /// Bytes that may be read; below 0 after a reader took more than there was.
    bytes: i64,
    since: Instant,
}

impl Throttle {
    /// A limit of `rate` bytes per second; `None`: no limit.
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self(rate.map(|rate| Bucket {
            rate: rate.max(1),
            state: Mutex::new(Credit { bytes: 0, since: Instant::now() }),
        }))
    }

    /// Whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.0.is_some()
    }

    /// Waits until something may be read; answers how many bytes of the `wanted` ones.
    pub(crate) async fn wait(&self, wanted: usize) -> usize {
        let Some(bucket) = &self.0 else { return wanted };
        loop {
            match bucket.take(wanted as u64, Instant::now()) {
                Ok(bytes) => return bytes as usize,
                Err(wait) => task::sleep(wait).await,
            }
        }
    }

    /// Gives back what was allowed and not read.
    pub(crate) fn give_back(&self, bytes: usize) {
        if let Some(bucket) = &self.0
            && bytes > 0
        {
            bucket.state.lock().unwrap_or_else(PoisonError::into_inner).bytes += bytes as i64;
        }
    }
}

impl Bucket {
    /// Takes up to `wanted` bytes of credit, or says how long to wait for some.
    fn take(&self, wanted: u64, now: Instant) -> Result<u64, Duration> {
        let mut credit = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let gained =
            now.saturating_duration_since(credit.since).as_nanos() * u128::from(self.rate) / 1_000_000_000;
        if gained > 0 {
            let most = (self.rate / (1_000 / BURST.as_millis() as u64)).max(LEAST_READ) as i64;
            credit.bytes = credit.bytes.saturating_add(i64::try_from(gained).unwrap_or(i64::MAX)).min(most);
            credit.since = now;
        }
        if credit.bytes <= 0 {
            let missing = credit.bytes.unsigned_abs() + LEAST_READ.min(self.rate);
            return Err(
                Duration::from_secs_f64(missing as f64 / self.rate as f64).max(Duration::from_millis(1))
            );
        }
        let taken = wanted.min((credit.bytes as u64).max(LEAST_READ)).max(1);
        credit.bytes -= taken as i64;
        Ok(taken)
    }
}

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
    fn a_bucket_keeps_its_rate_whatever_is_asked() {
        let bucket = Bucket { rate: 100_000, state: Mutex::new(Credit { bytes: 0, since: Instant::now() }) };
        let (start, mut now, mut taken) = (Instant::now(), Instant::now(), 0);
        while now < start + Duration::from_secs(10) {
            match bucket.take(1 << 20, now) {
                Ok(bytes) => taken += bytes,
                Err(wait) => now += wait,
            }
        }
        assert!((980_000..1_020_000).contains(&taken), "{taken} bytes in 10 s at 100000 B/s");
    }

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
