//! A policy behind its boundary: with its name, its stream of chance, and a wall that its panics stop at (RS-4, EN-13).

use std::cell::{Cell, RefCell};

use bt_api::contain::contain;
use bt_api::rng::Generator;
use bt_api::{Instant, Rng};

/// A policy in use.
pub(super) struct Plugged<P: ?Sized> {
    pub(super) name: String,
    /// `None` once it was let go of, at the end.
    policy: Option<Box<P>>,
    rng: Generator,
    /// How many of its answers were wrong.
    pub(super) violations: u64,
    /// The first of them, until the driver has taken it.
    first_wrong: Option<String>,
    /// What it said when it panicked, until the engine has taken it.
    died: RefCell<Option<String>>,
    dead: Cell<bool>,
    /// When it next wants to be asked, as it said last; whether it was called since then.
    next: Instant,
    called: bool,
    /// It is not asked by its own clock before this, whatever it says.
    earliest: Instant,
}

impl<P: ?Sized> Plugged<P> {
    pub(super) fn new((name, policy): (String, Box<P>), rng: Generator) -> Self {
        Self {
            name,
            policy: Some(policy),
            rng,
            violations: 0,
            first_wrong: None,
            died: RefCell::default(),
            dead: Cell::new(false),
            next: Instant::NEVER,
            called: true,
            earliest: Instant::ZERO,
        }
    }

    /// Calls the policy; one that panics, now or earlier, gives `otherwise`.
    pub(super) fn call<R>(&mut self, otherwise: R, f: impl FnOnce(&mut P, &mut dyn Rng) -> R) -> R {
        // The policy is never called again after a panic, so that a torn state is never seen.
        let Some(policy) = self.policy.as_deref_mut().filter(|_| !self.dead.get()) else { return otherwise };
        self.called = true;
        let rng = &mut self.rng;
        let answer = contain(|| f(policy, rng));
        self.unless_panicked(answer, otherwise)
    }

    /// Asks the policy something that changes nothing.
    pub(super) fn peek<R>(&self, otherwise: R, f: impl FnOnce(&P) -> R) -> R {
        let Some(policy) = self.policy.as_deref().filter(|_| !self.dead.get()) else { return otherwise };
        let answer = contain(|| f(policy));
        self.unless_panicked(answer, otherwise)
    }

    /// Counts a wrong answer.
    pub(super) fn violated(&mut self, how: &str) {
        self.violations += 1;
        if self.violations == 1 {
            let wrong =
                format!("the plug-in `{}` answered what cannot be, and is not obeyed: {how}", self.name);
            self.first_wrong = Some(wrong);
        }
    }

    /// The first wrong answer, once.
    pub(super) fn take_first_wrong(&mut self) -> Option<String> {
        self.first_wrong.take()
    }

    /// What it said when it panicked, once.
    pub(super) fn take_death(&mut self) -> Option<String> {
        if self.dead.get() { self.died.take() } else { None }
    }

    /// When it wants to be asked by its own clock, as [`look_at_clock`](Self::look_at_clock) found it.
    pub(super) fn due(&self) -> Instant {
        self.next.max(self.earliest)
    }

    /// Does not ask it by its own clock before `until`.
    pub(super) fn put_off(&mut self, until: Instant) {
        self.earliest = until;
    }

    /// Reads its clock with `f`, if it may have moved: only a call moves it.
    pub(super) fn look_at_clock(&mut self, f: impl FnOnce(&P) -> Instant) {
        if std::mem::take(&mut self.called) {
            self.next = self.peek(Instant::NEVER, f);
        }
    }

    fn unless_panicked<R>(&self, answer: Result<R, String>, otherwise: R) -> R {
        answer.unwrap_or_else(|said| {
            self.dead.set(true);
            *self.died.borrow_mut() = Some(format!("the plug-in `{}` panicked: {said}", self.name));
            otherwise
        })
    }
}

impl<P: ?Sized> Drop for Plugged<P> {
    fn drop(&mut self) {
        // The torrent is over, and nobody is left to tell.
        let policy = self.policy.take();
        let _ = contain(|| drop(policy));
    }
}
