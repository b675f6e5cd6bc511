//! What is to happen, in one total order: by time in whole nanoseconds, then by class, then by node, then by the
//! order in which it was put down.
//!
//! So a run does not depend on how things that happen in the same nanosecond came to stand beside each other.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use bt_api::Instant;

use super::timetable::Timetable;

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
    /// Mail, in order: nearly all of it is due after everything that was put down before.
    mail: VecDeque<Due>,
    /// By flow.
    transfers: Timetable,
    /// By node.
    wakeups: Timetable,
    sequence: u64,
}

/// Where something due stands.
#[derive(Clone, Copy)]
enum Place {
    Heap,
    Mail,
    Transfers,
    Wakeups,
}

/// Mail that would have to be put before more than so much of the other mail goes to the heap.
const OUT_OF_ORDER: usize = 8;

impl Agenda {
    fn due(&mut self, at: Instant, class: Class, node: u32, what: u64) -> Due {
        self.sequence += 1;
        Due { at, class, node, sequence: self.sequence, what }
    }

    /// Has the block that `node` sends over `flow` be out at this time, and not when it was said before.
    pub(super) fn put_transfer(&mut self, at: Instant, node: u32, flow: u32) {
        let due = self.due(at, Class::Transfer, node, u64::from(flow));
        self.transfers.set(flow, due);
    }

    /// The transfer over `flow` is at its end.
    pub(super) fn clear_transfer(&mut self, flow: u32) {
        self.transfers.clear(flow);
    }

    /// Wakes `node` at this time, and not when it was said before.
    pub(super) fn put_wakeup(&mut self, at: Instant, node: u32) {
        let due = self.due(at, Class::Wakeup, node, 0);
        self.wakeups.set(node, due);
    }

    /// Puts down an arrival, a departure or mail.
    pub(super) fn put(&mut self, at: Instant, class: Class, node: u32, what: u64) {
        let due = self.due(at, class, node, what);
        if class == Class::Mail {
            let behind =
                self.mail.iter().rev().take(OUT_OF_ORDER + 1).take_while(|other| **other > due).count();
            if behind <= OUT_OF_ORDER {
                return self.mail.insert(self.mail.len() - behind, due);
            }
        }
        self.heap.push(Reverse(due));
    }

    fn next(&self) -> Option<(&Due, Place)> {
        let places = [
            (self.heap.peek().map(|Reverse(due)| due), Place::Heap),
            (self.mail.front(), Place::Mail),
            (self.transfers.first(), Place::Transfers),
            (self.wakeups.first(), Place::Wakeups),
        ];
        places.into_iter().filter_map(|(due, place)| Some((due?, place))).min_by_key(|(due, _)| **due)
    }

    /// When the next thing is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.next().map(|(due, _)| due.at)
    }

    pub(super) fn take(&mut self) -> Option<Due> {
        match self.next()?.1 {
            Place::Heap => self.heap.pop().map(|Reverse(due)| due),
            Place::Mail => self.mail.pop_front(),
            Place::Transfers => self.transfers.take(),
            Place::Wakeups => self.wakeups.take(),
        }
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
        agenda.put_wakeup(at(9), 0);
        agenda.put_wakeup(at(1), 0);
        agenda.put(at(1), Class::Mail, 7, 2);
        agenda.put(at(1), Class::Mail, 3, 3);
        agenda.put(at(1), Class::Mail, 3, 4);
        agenda.put_transfer(at(1), 1, 5);
        agenda.put_transfer(at(1), 1, 6);
        agenda.clear_transfer(6);
        let order: Vec<_> = std::iter::from_fn(|| agenda.take()).map(|due| (due.class, due.what)).collect();
        use Class::{Arrival, Mail, Transfer, Wakeup};
        assert_eq!(order, [(Mail, 3), (Mail, 4), (Mail, 2), (Transfer, 5), (Wakeup, 0), (Arrival, 0)]);
    }

    #[test]
    fn mail_that_comes_out_of_order_is_put_where_it_belongs() {
        let mut agenda = Agenda::default();
        let mut rng = bt_api::rng::stream(1, 0, "test");
        let mut all = Vec::new();
        for what in 0..1000 {
            let (secs, node) = (bt_api::rng::below(&mut rng, 20), bt_api::rng::below(&mut rng, 5));
            let class = [Class::Mail, Class::Departure][usize::from(what % 3 == 0)];
            agenda.put(Instant::from_secs(secs.into()), class, node, what);
            all.push((secs, class, node, what));
        }
        all.sort();
        let order: Vec<u64> = std::iter::from_fn(|| agenda.take()).map(|due| due.what).collect();
        assert_eq!(order, all.iter().map(|(.., what)| *what).collect::<Vec<_>>());
    }
}
