//! Threads of their own for what a plug-in does: one that steps its futures, and some for what blocks.
//!
//! Everything else of the process runs on as many threads as there are cores: two plug-ins that block where they should
//! wait would stop all of it. Here such a plug-in stops nobody but itself. A thread that never comes back cannot be taken
//! away from it; it ends with the process.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_std::task;
use bt_api::BoxFuture;
use bt_api::contain::contain;
use futures::channel::oneshot;
use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::lane::Lane;

/// The most threads of one store that block at a time: more than a disk makes use of.
const MOST_THREADS: usize = 32;

/// How long a thread that has nothing to do stays.
const IDLE_TIME: Duration = Duration::from_secs(5);

/// A thread that steps the futures of one plug-in. It is started when it is first needed, and ends when this is gone
/// and nothing is under way.
pub(crate) struct OwnThread {
    name: &'static str,
    work: Mutex<Option<Sender<BoxFuture<'static, ()>>>>,
}

impl OwnThread {
    /// The thread will be called `name`.
    pub(crate) fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, work: Mutex::default() })
    }

    fn begin(&self) -> io::Result<Sender<BoxFuture<'static, ()>>> {
        let (work, given) = async_channel::unbounded();
        thread::Builder::new().name(self.name.to_owned()).spawn(move || task::block_on(step_all(given)))?;
        Ok(work)
    }
}

impl Lane for OwnThread {
    fn start(&self, work: BoxFuture<'static, ()>) {
        let mut given = lock(&self.work);
        if given.is_none() {
            *given = self.begin().ok();
        }
        match &*given {
            Some(given) => drop(given.try_send(work)),
            // The system has no thread left: better with the others than not at all.
            None => drop(task::spawn(work)),
        }
    }
}

/// Steps all work that is given, until no more can come.
async fn step_all(given: Receiver<BoxFuture<'static, ()>>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        let next = if under_way.is_empty() {
            given.recv().await
        } else {
            let next = match select(std::pin::pin!(given.recv()), under_way.next()).await {
                Either::Left((next, _)) => Some(next),
                Either::Right(_) => None,
            };
            match next {
                Some(next) => next,
                None => continue,
            }
        };
        match next {
            Ok(work) => under_way.push(work),
            Err(_) => break,
        }
    }
    while under_way.next().await.is_some() {}
}

type Work = Box<dyn FnOnce() + Send>;

/// Threads for the work of one store that blocks: started when they are needed, gone when they were idle for a while.
#[derive(Clone, Default)]
pub(crate) struct BlockingThreads(Arc<Pool>);

#[derive(Default)]
struct Pool {
    state: Mutex<State>,
    /// There is work, for one more.
    more: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    threads: usize,
    idle: usize,
}

impl BlockingThreads {
    /// Runs `work`, whoever waits for it; what is waited for ends with it.
    ///
    /// # Panics
    /// When `work` panics, in whoever waits.
    pub(crate) fn run(&self, work: Work) -> BoxFuture<'static, ()> {
        let (ended, end) = oneshot::channel();
        let work = Box::new(move || {
            // Nobody may wait any more.
            let _ = ended.send(contain(work));
        });
        self.give(work);
        Box::pin(async move {
            if let Ok(Err(said)) = end.await {
                std::panic::resume_unwind(Box::new(said));
            }
        })
    }

    fn give(&self, work: Work) {
        let mut state = lock(&self.0.state);
        state.waiting.push_back(work);
        if state.idle >= state.waiting.len() {
            self.0.more.notify_one();
            return;
        }
        if state.threads < MOST_THREADS {
            let pool = self.0.clone();
            let begun = thread::Builder::new().name("blocking".into()).spawn(move || pool.work());
            if begun.is_ok() {
                state.threads += 1;
            } else if state.threads == 0
                && let Some(work) = state.waiting.pop_back()
            {
                // The system has no thread left: what others lend will do.
                drop(state);
                drop(task::spawn_blocking(work));
            }
        }
    }
}

impl Pool {
    /// The life of a thread.
    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            while let Some(work) = state.waiting.pop_front() {
                drop(state);
                work();
                state = lock(&self.state);
            }
            state.idle += 1;
            let (back, waited) =
                self.more.wait_timeout(state, IDLE_TIME).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if waited.timed_out() && state.waiting.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt;

    use super::*;

    /// A test that takes longer hangs.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn who_blocks_his_thread_stops_nobody_else() {
        let (stuck, other) = (OwnThread::new("stuck"), OwnThread::new("other"));
        let (release, blocks) = mpsc::channel::<()>();
        let blocks = Mutex::new(blocks);
        stuck.start(async move { _ = lock(&blocks).recv() }.boxed());
        let (told, answers) = mpsc::channel();
        for (lane, name) in [(&stuck, "stuck"), (&other, "other")] {
            let told = told.clone();
            lane.start(async move { _ = told.send(name) }.boxed());
        }
        assert_eq!(answers.recv_timeout(PATIENCE), Ok("other"));
        drop(release);
        assert_eq!(answers.recv_timeout(PATIENCE), Ok("stuck"));
    }

    #[test]
    fn what_waits_on_one_thread_goes_on_side_by_side_and_is_done_when_the_lane_is_gone() {
        let lane = OwnThread::new("both");
        let ((first, second), (told, answers)) = (oneshot::channel::<()>(), mpsc::channel());
        let waits = told.clone();
        lane.start(async move { _ = (second.await, waits.send(1)) }.boxed());
        lane.start(async move { _ = (first.send(()), told.send(2)) }.boxed());
        drop(lane);
        let said = [answers.recv_timeout(PATIENCE).unwrap(), answers.recv_timeout(PATIENCE).unwrap()];
        assert_eq!(said, [2, 1]);
    }

    #[test]
    fn blocking_work_runs_on_several_threads_and_panics_in_who_waits() {
        let threads = BlockingThreads::default();
        let (enter, entered) = mpsc::channel();
        let releases: Vec<mpsc::Sender<()>> = (0..3)
            .map(|_| {
                let ((release, blocked), enter) = (mpsc::channel::<()>(), enter.clone());
                let work = Box::new(move || _ = (enter.send(()), blocked.recv()));
                drop(threads.run(work));
                release
            })
            .collect();
        (0..3).for_each(|_| entered.recv_timeout(PATIENCE).unwrap());
        drop(releases);
        let said = contain(|| task::block_on(threads.run(Box::new(|| panic!("no disk")))));
        assert_eq!(said, Err("no disk".to_owned()));
        task::block_on(threads.run(Box::new(|| {})));
    }
}
