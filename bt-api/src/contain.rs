//! The wall around a plug-in: a panic stops here and becomes one line.
//!
//! Whoever calls a plug-in calls it through [`contain`], or awaits it through [`contained`]. What broke may be torn, so
//! it is not to be called again. A panic is caught where it unwinds: a program built with `panic = "abort"` ends.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

/// The most characters of what a panic says that are told: a failed comparison may print all that it compared.
const LONGEST: usize = 400;

thread_local! {
    /// How many walls this thread is within.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where the last panic within them was, if it is noted.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Calls `work`.
///
/// # Errors
/// When it panicked: what it said, in one line, and where, if [`note_places`] was called.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|panic| {
        let said = said(&*panic);
        match PLACE.try_with(RefCell::take).ok().flatten() {
            Some(place) => format!("{said} ({place})"),
            None => said,
        }
    })
}

/// Awaits `work`, each step of it and its end within the wall.
pub fn contained<T>(work: BoxFuture<'_, T>) -> Contained<'_, T> {
    Contained(Some(work))
}

/// What [`contained`] gives.
///
/// # Errors
/// As [`contain`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Contained<'a, T>(Option<BoxFuture<'a, T>>);

impl<T> Contained<'_, T> {
    /// Lets go of the work, which may panic even then.
    fn end(&mut self) -> Result<(), String> {
        let work = self.0.take();
        contain(|| drop(work))
    }
}

impl<T> Future for Contained<'_, T> {
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        match contain(|| work.as_mut().poll(context)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(self.end().map(|()| answer)),
            Err(said) => {
                let _ = self.end();
                Poll::Ready(Err(said))
            }
        }
    }
}

impl<T> Drop for Contained<'_, T> {
    fn drop(&mut self) {
        // Whoever drops it asks for no answer.
        let _ = self.end();
    }
}

/// What a caught panic says, in one line.
pub fn said(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message").replace(['\n', '\r'], " ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// From now on, a panic within a wall is noted with its place and not printed as well: one line tells of it. With the
/// environment variable `RUST_BACKTRACE` it is printed besides. For binaries, at their start.
pub fn note_places() {
    let usual = std::panic::take_hook();
    let all = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |panic| {
        let within = DEPTH.get() > 0;
        if within {
            let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
            let _ = PLACE.try_with(|last| last.replace(place));
        }
        if all || !within {
            usual(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::{pending, ready};

    use super::*;

    struct DropsBadly;

    impl Drop for DropsBadly {
        fn drop(&mut self) {
            panic!("not without a fight");
        }
    }

    #[test]
    fn a_panic_becomes_one_line() {
        assert_eq!(contain(|| 3), Ok(3));
        assert_eq!(contain(|| -> u32 { panic!("one\ntwo") }), Err("one two".to_owned()));
        assert_eq!(contain(|| std::panic::panic_any(7)), Err("no message".to_owned()));
        let long = contain(|| panic!("{}", "é".repeat(1000))).unwrap_err();
        assert_eq!(long.chars().count(), LONGEST + 1);
    }

    #[test]
    fn what_is_awaited_may_panic_when_it_begins_goes_on_or_ends() {
        assert_eq!(contained(ready(3).boxed()).now_or_never(), Some(Ok(3)));
        let late = async {
            ready(()).await;
            panic!("late")
        };
        assert_eq!(contained::<()>(late.boxed()).now_or_never(), Some(Err("late".to_owned())));
        let held = DropsBadly;
        let ends_badly = futures::future::poll_fn(move |_| {
            let _ = &held;
            Poll::Ready(1)
        });
        let said = contained(ends_badly.boxed()).now_or_never();
        assert_eq!(said, Some(Err("not without a fight".to_owned())));
        let held = DropsBadly;
        let mut waits = contained(
            async move {
                let _held = held;
                pending::<()>().await;
            }
            .boxed(),
        );
        assert_eq!((&mut waits).now_or_never(), None);
        drop(waits);
    }
}
