//! What is to happen, in one total order: by time in whole nanoseconds, then by class, then by node, then by the
//! order in which it was put down.
//!
//! So a run does not depend on how things that happen in the same nanosecond came to stand beside each other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bt_api::Instant;

/// What kind of thing happens. Of several in one nanosecond, the first of this list comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// A peer arrives.
    Arrival,
    /// A peer leaves.
    Departure,
    /// Something arrives over the network. Its node is the sender, so that what two nodes say to each other keeps its
    /// order.
    Mail,
    /// A transfer has left its sender.
    Transfer,
    /// An engine's clock.
    Wakeup,
}

/// Something due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) class: Class,
    pub(super) node: u32,
    sequence: u64,
    /// What it is about, as its class has it.
    pub(super) what: u64,
}

/// All that is due.
#[derive(Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<Due>>,
    sequence: u64,
}

impl Agenda {
    pub(super) fn put(&mut self, at: Instant, class: Class, node: u32, what: u64) {
        self.sequence += 1;
        self.heap.push(Reverse(Due { at, class, node, sequence: self.sequence, what }));
    }

    /// When the next thing is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(due)| due.at)
    }

    pub(super) fn take(&mut self) -> Option<Due> {
        self.heap.pop().map(|Reverse(due)| due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_then_class_then_node_then_sequence() {
        let mut agenda = Agenda::default();
        let at = Instant::from_secs;
        agenda.put(at(2), Class::Arrival, 0, 0);
        agenda.put(at(1), Class::Wakeup, 0, 1);
        agenda.put(at(1), Class::Mail, 7, 2);
        agenda.put(at(1), Class::Mail, 3, 3);
        agenda.put(at(1), Class::Mail, 3, 4);
        agenda.put(at(1), Class::Transfer, 1, 5);
        let order: Vec<u64> = std::iter::from_fn(|| agenda.take()).map(|due| due.what).collect();
        assert_eq!(order, [3, 4, 2, 5, 1, 0]);
    }
}
