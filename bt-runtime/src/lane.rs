//! Where plug-ins that wait are run: within the wall that their panics stop at, and where one that blocks keeps nobody
//! else waiting.

use std::pin::pin;
use std::sync::Arc;

use bt_api::BoxFuture;
use bt_api::contain::contained;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, select};

/// Runs work of a plug-in beside everybody else.
pub trait Lane: Send + Sync {
    /// Begins `work`, which never panics.
    fn start(&self, work: BoxFuture<'static, ()>);
}

/// What `work` of a plug-in answers, which runs on `lane`, or without one here. It is dropped with the caller.
///
/// # Errors
/// When it panicked: what it said.
pub async fn run<T: Send + 'static>(
    lane: Option<&Arc<dyn Lane>>,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, String> {
    let work = contained(work.boxed());
    let Some(lane) = lane else { return work.await };
    let (mut answer, answered) = oneshot::channel();
    let job = async move {
        let ended = match select(pin!(work), answer.cancellation()).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => return,
        };
        // Whoever asked may be gone.
        let _ = answer.send(ended);
    };
    lane.start(job.boxed());
    answered.await.unwrap_or_else(|_| Err("nobody ran it".to_owned()))
}
