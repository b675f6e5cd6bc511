//! A limit of the whole process, kept where its bytes go through a socket.
//!
//! A socket moves as much as there is credit for, however long a block is. Credit grows at the limit while it is
//! not spent, up to a burst ([`burst`]). So any stretch of time sees no more than the limit allows for it and a burst: within
//! 5 % of it in every second, the first one too. Whoever waits does so in a queue, so connections take turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex as Lock, PoisonError};
use std::time::{Duration, Instant};

use async_std::sync::Mutex as Queue;
use async_std::task;

/// For how much credit a socket waits, as time at the limit, unless it wants less.
const TURN: Duration = Duration::from_millis(20);

/// How late whoever waits may wake up, on a busy machine, and no credit is lost. With a turn it makes a burst: together
/// with headers, which are not counted, less than 5 % of a second.
const LATENESS: Duration = Duration::from_millis(20);

/// Nobody waits for less than this, unless it wants less: smaller packets are mostly headers. Below 20 kB/s a burst is
/// more than 5 % of a second by it.
const LEAST: usize = 512;

/// How long to wait at a time: timers are no finer, and a change of the limit is to be felt soon.
const SLEEP: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(100);

/// What stands for no limit.
const UNLIMITED: u64 = u64::MAX;

/// Bounds what all sockets together move one way.
pub(crate) struct Throttle {
    /// Bytes per second, not 0; or [`UNLIMITED`].
    rate: AtomicU64,
    /// Who holds it is next.
    turn: Queue<()>,
    /// Who holds it may end its block before others that are within one go on.
    block: Queue<()>,
    credit: Lock<Credit>,
}

/// The right to end a block that is half here.
pub(crate) type BlockTurn<'a> = async_std::sync::MutexGuard<'a, ()>;

/// Credit, as the time in which it was earned.
struct Credit {
    /// What was earned until then is spent.
    spent_until: Instant,
}

impl Throttle {
    /// A limit of `rate` bytes per second; `None`: no limit.
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self {
            rate: AtomicU64::new(stored(rate)),
            turn: Queue::new(()),
            block: Queue::new(()),
            credit: Lock::new(Credit { spent_until: Instant::now() }),
        }
    }

    /// Sets another limit; those who wait feel it at once or nearly so.
    pub(crate) fn set(&self, rate: Option<u64>) {
        self.rate.store(stored(rate), Ordering::Relaxed);
    }

    /// The limit in bytes per second, where there is one.
    pub(crate) fn rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|&rate| rate != UNLIMITED)
    }

    /// Whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.rate().is_some()
    }

    /// The most that is allowed at a time, in bytes.
    pub(crate) fn most(&self) -> usize {
        self.rate().map_or(usize::MAX, |rate| bytes_in(burst(rate), rate))
    }

    /// Waits for its turn and for credit; answers how many bytes of the `wanted` ones may be moved.
    pub(crate) async fn wait(&self, wanted: usize) -> usize {
        if !self.is_limited() {
            return wanted;
        }
        let _turn = self.turn.lock().await;
        loop {
            let Some(rate) = self.rate() else { return wanted };
            let taken = self.credit().take(wanted, rate, Instant::now());
            match taken {
                Ok(bytes) => return bytes,
                Err(wait) => task::sleep(wait.clamp(*SLEEP.start(), *SLEEP.end())).await,
            }
        }
    }

    /// Waits until blocks that others are within have ended, or stopped for want of bytes. Whoever reads the rest of a
    /// block holds the answer meanwhile: else a low limit would have all blocks half here, and none whole for long.
    /// Who is not within a block does not wait for this, so a short message is not behind long blocks.
    pub(crate) async fn block(&self) -> BlockTurn<'_> {
        self.block.lock().await
    }

    /// Gives back what was allowed and not moved.
    pub(crate) fn give_back(&self, bytes: usize) {
        if let Some(rate) = self.rate() {
            let mut credit = self.credit();
            // What is older than a burst is forgotten in any case.
            let time = time_of(bytes, rate).min(burst(rate));
            credit.spent_until = credit.spent_until.checked_sub(time).unwrap_or(credit.spent_until);
        }
    }

    fn credit(&self) -> std::sync::MutexGuard<'_, Credit> {
        self.credit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Credit {
    /// Takes up to `wanted` bytes of credit, or says how long to wait for some.
    fn take(&mut self, wanted: usize, rate: u64, now: Instant) -> Result<usize, Duration> {
        let oldest = now.checked_sub(burst(rate)).unwrap_or(now);
        let from = self.spent_until.max(oldest);
        let grain = bytes_in(TURN, rate).max(LEAST).min(wanted);
        let earned = now.saturating_duration_since(from);
        if let Some(wait) = time_of(grain, rate).checked_sub(earned).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        let taken = wanted.min(bytes_in(earned, rate).max(grain));
        self.spent_until = from + time_of(taken, rate);
        Ok(taken)
    }
}

fn stored(rate: Option<u64>) -> u64 {
    rate.map_or(UNLIMITED, |rate| rate.clamp(1, UNLIMITED - 1))
}

/// How much credit may be saved up, as time at the limit.
fn burst(rate: u64) -> Duration {
    TURN.max(time_of(LEAST, rate)) + LATENESS
}

/// How long `bytes` take, rounded up: rounding is not to exceed the limit.
fn time_of(bytes: usize, rate: u64) -> Duration {
    let nanos = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(rate));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn bytes_in(time: Duration, rate: u64) -> usize {
    usize::try_from(time.as_nanos() * u128::from(rate) / 1_000_000_000).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Takes as much as it gets, `late` after each time that was named; says what every second brought, of `secs`.
    fn greedy(rate: u64, wanted: usize, late: Duration, secs: usize) -> Vec<u64> {
        let start = Instant::now();
        let (mut credit, mut now, mut seconds) = (Credit { spent_until: start }, start, vec![0; secs]);
        loop {
            let Some(second) = seconds.get_mut((now - start).as_secs() as usize) else { return seconds };
            match credit.take(wanted, rate, now) {
                Ok(bytes) => *second += bytes as u64,
                Err(wait) => now += wait + late,
            }
        }
    }

    #[test]
    fn every_second_brings_the_limit_within_five_per_cent() {
        let late = [0, 1, 15].map(Duration::from_millis);
        for rate in [24_000, 64 << 10, 1 << 20, 20 << 20] {
            for (wanted, late) in
                [16 << 10, 128 << 10, 1 << 20].into_iter().flat_map(|wanted| late.map(|late| (wanted, late)))
            {
                // More than that cannot be moved between two times to be late.
                if late.is_zero() || wanted as f64 / late.as_secs_f64() > 2.0 * rate as f64 {
                    for bytes in greedy(rate, wanted, late, 5) {
                        let part = bytes as f64 / rate as f64;
                        assert!((0.95..=1.05).contains(&part), "{rate} B/s, {wanted}, {late:?}: {part}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_pause_saves_up_one_burst() {
        let (start, rate) = (Instant::now(), 1_000_000);
        let mut credit = Credit { spent_until: start };
        let later = start + Duration::from_secs(10);
        assert_eq!(credit.take(1 << 20, rate, later), Ok(40_000));
        assert!(credit.take(1 << 20, rate, later).is_err());
    }

    #[test]
    fn what_is_given_back_is_there_again() {
        async_std::task::block_on(async {
            let throttle = Throttle::new(Some(1_000));
            let before = Instant::now().checked_sub(Duration::from_secs(9)).unwrap();
            throttle.credit().spent_until = before;
            let bytes = throttle.wait(1 << 10).await;
            assert!(throttle.credit().spent_until > before);
            // At this rate new credit would take a second.
            throttle.give_back(bytes);
            assert_eq!(throttle.wait(bytes).now_or_never(), Some(bytes));
            throttle.set(None);
            assert_eq!((throttle.wait(1 << 30).await, throttle.most()), (1 << 30, usize::MAX));
        });
    }
}
