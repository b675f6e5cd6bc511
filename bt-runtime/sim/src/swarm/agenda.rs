//! What is to happen, in one total order: by time in whole nanoseconds, then by class, then by node, then by the
//! order in which it was put down.
//!
//! So a run does not depend on how things that happen in the same nanosecond came to stand beside each other.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

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
    /// Mail, in order: nearly all of it is due after everything that was put down before.
    mail: VecDeque<Due>,
    sequence: u64,
}

/// Mail that would have to be put before more than so much of the other mail goes to the heap.
const OUT_OF_ORDER: usize = 8;

impl Agenda {
    pub(super) fn put(&mut self, at: Instant, class: Class, node: u32, what: u64) {
        self.sequence += 1;
        let due = Due { at, class, node, sequence: self.sequence, what };
        if class == Class::Mail {
            let behind =
                self.mail.iter().rev().take(OUT_OF_ORDER + 1).take_while(|other| **other > due).count();
            if behind <= OUT_OF_ORDER {
                return self.mail.insert(self.mail.len() - behind, due);
            }
        }
        self.heap.push(Reverse(due));
    }

    fn mail_is_next(&self) -> bool {
        match (self.mail.front(), self.heap.peek()) {
            (Some(mail), Some(Reverse(other))) => mail < other,
            (mail, _) => mail.is_some(),
        }
    }

    /// When the next thing is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let next =
            if self.mail_is_next() { self.mail.front() } else { self.heap.peek().map(|Reverse(due)| due) };
        next.map(|due| due.at)
    }

    pub(super) fn take(&mut self) -> Option<Due> {
        if self.mail_is_next() { self.mail.pop_front() } else { self.heap.pop().map(|Reverse(due)| due) }
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

    #[test]
    fn mail_that_comes_out_of_order_is_put_where_it_belongs() {
        let mut agenda = Agenda::default();
        let mut rng = bt_api::rng::stream(1, 0, "test");
        let mut all = Vec::new();
        for what in 0..1000 {
            let (secs, node) = (bt_api::rng::below(&mut rng, 20), bt_api::rng::below(&mut rng, 5));
            let class = [Class::Mail, Class::Wakeup][usize::from(what % 3 == 0)];
            agenda.put(Instant::from_secs(secs.into()), class, node, what);
            all.push((secs, class, node, what));
        }
        all.sort();
        let order: Vec<u64> = std::iter::from_fn(|| agenda.take()).map(|due| due.what).collect();
        assert_eq!(order, all.iter().map(|(.., what)| *what).collect::<Vec<_>>());
    }
}
