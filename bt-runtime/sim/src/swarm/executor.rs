//! Runs what plug-ins do while they wait, on one thread and in virtual time.
//!
//! Tasks run in the order in which they were woken, and those who sleep wake in the order of their times and then of
//! their falling asleep: so a run with plug-ins that wait is a function of scenario and seed as any other.

use std::collections::{BTreeMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bt_api::{BoxFuture, Instant};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Shared, select};

/// How often tasks may be polled in one moment. More than any swarm's stores need: plug-ins that never wait would hold
/// the simulation at that moment for ever.
const MOST_TURNS: u32 = 10_000_000;

/// The clock of a run, and who waits for it. The executor and the hosts of all plug-ins share it.
#[derive(Default)]
pub(super) struct Clock(Mutex<State>);

#[derive(Default)]
struct State {
    now: Instant,
    /// Who sleeps, by when and by the order of falling asleep.
    sleepers: BTreeMap<(Instant, u64), Waker>,
    slept: u64,
    /// Tasks that are to be polled.
    ready: VecDeque<usize>,
    /// Work that is not a task yet.
    begun: VecDeque<BoxFuture<'static, ()>>,
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Instant {
        self.lock().now
    }

    /// Begins work beside the simulation.
    pub(super) fn start(&self, work: BoxFuture<'static, ()>) {
        self.lock().begun.push_back(work);
    }

    /// Waits until `when`.
    pub(super) fn sleep_until(self: &Arc<Self>, when: Instant) -> Sleep {
        Sleep { clock: self.clone(), when, place: None }
    }
}

/// Waits for a time.
pub(super) struct Sleep {
    clock: Arc<Clock>,
    when: Instant,
    /// Where it stands among the sleepers.
    place: Option<(Instant, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut state = clock.lock();
        if state.now >= self.when {
            return Poll::Ready(());
        }
        let when = self.when;
        let place = *self.place.get_or_insert_with(|| {
            state.slept += 1;
            (when, state.slept)
        });
        state.sleepers.insert(place, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            let waker = self.clock.lock().sleepers.remove(place);
            // Not while the clock is locked: it may be the last that knows of its task.
            drop(waker);
        }
    }
}

/// Somebody's life: what is begun for him ends when this is dropped.
pub(super) struct Life {
    _end: oneshot::Sender<()>,
    over: Over,
}

impl Life {
    pub(super) fn new() -> Self {
        let (end, over) = oneshot::channel();
        Self { _end: end, over: Over(over.shared()) }
    }

    /// The end of it.
    pub(super) fn over(&self) -> Over {
        self.over.clone()
    }
}

/// The end of a life.
#[derive(Clone)]
pub(super) struct Over(Shared<oneshot::Receiver<()>>);

impl Over {
    /// `work`, until then.
    pub(super) fn bound(&self, work: impl Future<Output = ()> + Send + 'static) -> BoxFuture<'static, ()> {
        let over = self.0.clone();
        Box::pin(async move { _ = select(pin!(work), over).await })
    }
}

/// A task that waits.
struct Task {
    work: BoxFuture<'static, ()>,
    wakes: Arc<Wakes>,
}

/// Wakes a task.
struct Wakes {
    clock: Arc<Clock>,
    task: usize,
    /// Whether it is to be polled anyway.
    queued: AtomicBool,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.clock.lock().ready.push_back(self.task);
        }
    }
}

/// The tasks of a run.
pub(super) struct Executor {
    clock: Arc<Clock>,
    tasks: Vec<Option<Task>>,
    free: Vec<usize>,
    /// How often tasks were polled in this moment.
    turns: u32,
}

impl Executor {
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        Self { clock, tasks: Vec::new(), free: Vec::new(), turns: 0 }
    }

    /// Lets everyone run who can, now that it is `now`.
    ///
    /// # Errors
    /// When they would never wait again.
    pub(super) fn run(&mut self, now: Instant) -> Result<(), String> {
        let mut due = Vec::new();
        let mut state = self.clock.lock();
        if state.now != now {
            (state.now, self.turns) = (now, 0);
        }
        while let Some(first) = state.sleepers.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        drop(state);
        due.into_iter().for_each(Waker::wake);
        while let Some(task) = self.next() {
            self.turns += 1;
            if self.turns > MOST_TURNS {
                return Err(format!(
                    "plug-ins ran {MOST_TURNS} times at {} s and do not wait",
                    now.as_secs_f64()
                ));
            }
            self.poll(task);
        }
        Ok(())
    }

    /// When the next one who sleeps is to be woken.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.clock.lock().sleepers.keys().next().map(|(when, _)| *when)
    }

    /// The next task to be polled.
    fn next(&mut self) -> Option<usize> {
        let mut state = self.clock.lock();
        if let Some(task) = state.ready.pop_front() {
            return Some(task);
        }
        let work = state.begun.pop_front()?;
        drop(state);
        let task = self.free.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            self.tasks.len() - 1
        });
        let wakes = Arc::new(Wakes { clock: self.clock.clone(), task, queued: AtomicBool::new(false) });
        self.tasks[task] = Some(Task { work, wakes });
        Some(task)
    }

    fn poll(&mut self, number: usize) {
        // Whoever was woken may be done meanwhile.
        let Some(task) = &mut self.tasks[number] else { return };
        task.wakes.queued.store(false, Ordering::Relaxed);
        let waker = Waker::from(task.wakes.clone());
        if task.work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks[number] = None;
            self.free.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sleepers_wake_in_order_and_only_when_it_is_time() {
        let clock = Arc::<Clock>::default();
        let mut executor = Executor::new(clock.clone());
        let said = Arc::new(Mutex::new(Vec::new()));
        for (name, seconds) in [("a", 2), ("b", 1), ("c", 2)] {
            let (said, nap) = (said.clone(), clock.sleep_until(Instant::ZERO + Duration::from_secs(seconds)));
            let work = async move {
                nap.await;
                said.lock().unwrap().push(name);
            };
            clock.start(Box::pin(work));
        }
        let (mut now, mut wakes) = (Instant::ZERO, 0);
        loop {
            executor.run(now).unwrap();
            let Some(next) = executor.next_at() else { break };
            (now, wakes) = (next, wakes + 1);
        }
        assert_eq!(*said.lock().unwrap(), ["b", "a", "c"]);
        assert_eq!((now, wakes), (Instant::from_secs(2), 2));
    }

    #[test]
    fn who_is_dropped_sleeps_no_longer() {
        let clock = Arc::<Clock>::default();
        let mut executor = Executor::new(clock.clone());
        let mut nap = Box::pin(clock.sleep_until(Instant::from_secs(5)));
        assert!(futures::FutureExt::now_or_never(&mut nap).is_none());
        assert_eq!(executor.next_at(), Some(Instant::from_secs(5)));
        drop(nap);
        assert_eq!(executor.next_at(), None);
        executor.run(Instant::from_secs(9)).unwrap();
    }

    #[test]
    fn what_is_begun_for_somebody_ends_with_him() {
        let clock = Arc::<Clock>::default();
        let mut executor = Executor::new(clock.clone());
        let (ended, life) = (Arc::new(()), Life::new());
        let (held, nap) = (ended.clone(), clock.sleep_until(Instant::from_secs(5)));
        clock.start(life.over().bound(async move {
            nap.await;
            drop(held);
        }));
        executor.run(Instant::ZERO).unwrap();
        assert_eq!((Arc::strong_count(&ended), executor.next_at()), (2, Some(Instant::from_secs(5))));
        drop(life);
        executor.run(Instant::ZERO).unwrap();
        assert_eq!((Arc::strong_count(&ended), executor.next_at()), (1, None));
    }

    #[test]
    fn who_never_waits_is_told() {
        let clock = Arc::<Clock>::default();
        let mut executor = Executor::new(clock.clone());
        let busy = std::future::poll_fn(|context: &mut Context<'_>| -> Poll<()> {
            context.waker().wake_by_ref();
            Poll::Pending
        });
        clock.start(Box::pin(busy));
        assert!(executor.run(Instant::ZERO).unwrap_err().ends_with("do not wait"));
    }
}
