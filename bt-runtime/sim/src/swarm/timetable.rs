//! One due time for each of many things, which can be put off or brought forward: a heap that knows where each of them
//! stands.
//!
//! Shares change far more often than transfers end. With a new entry for each change the agenda would be full of
//! entries that no longer count; here there is one for each transfer.

use super::agenda::Due;

/// What stands for a thing that is not due at all.
const NOWHERE: u32 = u32::MAX;

/// Things by number, each due at most once.
#[derive(Default)]
pub(super) struct Timetable {
    /// A heap with four children to a node, which is flatter than one with two.
    heap: Vec<(Due, u32)>,
    /// Where each thing stands in it.
    places: Vec<u32>,
}

impl Timetable {
    /// Has `thing` be due as `due` says, and no longer as it was.
    pub(super) fn set(&mut self, thing: u32, due: Due) {
        if self.places.len() <= thing as usize {
            self.places.resize(thing as usize + 1, NOWHERE);
        }
        let place = self.places[thing as usize];
        if place == NOWHERE {
            self.heap.push((due, thing));
            self.rise(self.heap.len() - 1);
        } else {
            self.heap[place as usize].0 = due;
            let place = self.rise(place as usize);
            self.sink(place);
        }
    }

    /// Has `thing` not be due.
    pub(super) fn clear(&mut self, thing: u32) {
        let Some(&place) = self.places.get(thing as usize).filter(|place| **place != NOWHERE) else { return };
        self.places[thing as usize] = NOWHERE;
        let last = self.heap.pop().expect("the thing stands in it");
        if (place as usize) < self.heap.len() {
            self.heap[place as usize] = last;
            let place = self.rise(place as usize);
            self.sink(place);
        }
    }

    /// What is due first.
    pub(super) fn first(&self) -> Option<&Due> {
        self.heap.first().map(|(due, _)| due)
    }

    /// Takes out what is due first.
    pub(super) fn take(&mut self) -> Option<Due> {
        let &(due, thing) = self.heap.first()?;
        self.clear(thing);
        Some(due)
    }

    /// Moves what stands at `place` up to where it belongs, and says where that is.
    fn rise(&mut self, mut place: usize) -> usize {
        let moving = self.heap[place];
        while place > 0 && moving.0 < self.heap[(place - 1) / 4].0 {
            self.put(place, self.heap[(place - 1) / 4]);
            place = (place - 1) / 4;
        }
        self.put(place, moving);
        place
    }

    /// Moves what stands at `place` down to where it belongs.
    fn sink(&mut self, mut place: usize) {
        let moving = self.heap[place];
        loop {
            let children = 4 * place + 1..(4 * place + 5).min(self.heap.len());
            match children.min_by_key(|child| self.heap[*child].0) {
                Some(least) if self.heap[least].0 < moving.0 => {
                    self.put(place, self.heap[least]);
                    place = least;
                }
                _ => break,
            }
        }
        self.put(place, moving);
    }

    fn put(&mut self, place: usize, entry: (Due, u32)) {
        self.heap[place] = entry;
        self.places[entry.1 as usize] = place as u32;
    }
}
