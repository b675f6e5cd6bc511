//! What happened in a random history, for the message about a promise that was broken in it.

use std::collections::VecDeque;

use super::Broken;

/// How many steps a message tells.
const MOST: usize = 12;

/// The last steps of a history, and which breaches say how it came to them.
#[derive(Default)]
pub(super) struct Told {
    steps: VecDeque<String>,
    more: bool,
    explained: usize,
}

impl Told {
    pub(super) fn tell(&mut self, step: String) {
        if self.steps.len() == MOST {
            self.steps.pop_front();
            self.more = true;
        }
        self.steps.push_back(step);
    }

    /// Adds what happened until now to those of `recorded` that are new.
    pub(super) fn explain(&mut self, recorded: &mut [Broken]) {
        if recorded.len() == self.explained {
            return;
        }
        let words = self.words();
        recorded[self.explained..].iter_mut().for_each(|broken| broken.how += &format!("\n{words}"));
        self.explained = recorded.len();
    }

    pub(super) fn words(&self) -> String {
        let which = if self.more { "the last of what happened" } else { "what happened" };
        format!("{which}: {}", self.steps.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    }
}
