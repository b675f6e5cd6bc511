//! A policy behind its boundary: with its name, its stream of chance, and a wall that its panics stop at.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bt_api::Rng;
use bt_api::rng::Generator;

/// A policy in use.
pub(super) struct Plugged<P: ?Sized> {
    pub(super) name: String,
    policy: Box<P>,
    rng: Generator,
    /// How many of its answers were wrong.
    pub(super) violations: u64,
    /// What it said when it panicked, until the engine has taken it.
    pub(super) died: Option<String>,
    dead: bool,
}

impl<P: ?Sized> Plugged<P> {
    pub(super) fn new((name, policy): (String, Box<P>), rng: Generator) -> Self {
        Self { name, policy, rng, violations: 0, died: None, dead: false }
    }

    /// Calls the policy; one that panics, now or earlier, gives `otherwise`.
    pub(super) fn call<R>(&mut self, otherwise: R, f: impl FnOnce(&mut P, &mut dyn Rng) -> R) -> R {
        if self.dead {
            return otherwise;
        }
        let (policy, rng) = (&mut *self.policy, &mut self.rng);
        // The policy is never called again after a panic, so that a torn state is never seen.
        match catch_unwind(AssertUnwindSafe(|| f(policy, rng))) {
            Ok(answer) => answer,
            Err(panic) => {
                self.dead = true;
                let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                self.died = Some(format!("the plug-in `{}` panicked: {said}", self.name));
                otherwise
            }
        }
    }

    /// Asks the policy something that changes nothing.
    pub(super) fn peek<R>(&self, otherwise: R, f: impl FnOnce(&P) -> R) -> R {
        if self.dead {
            return otherwise;
        }
        let policy = &*self.policy;
        // A panic here shows again in the next `call`, which reports it.
        catch_unwind(AssertUnwindSafe(|| f(policy))).unwrap_or(otherwise)
    }
}
