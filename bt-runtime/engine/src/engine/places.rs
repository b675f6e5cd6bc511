//! Sets of connected peers by place: a bit each, so that nothing is looked through when nobody is in.

/// Some of the connected peers, by their places in the engine's lists.
#[derive(Default)]
pub(super) struct Places {
    words: Vec<u64>,
}

const BITS: usize = u64::BITS as usize;

impl Places {
    pub(super) fn insert(&mut self, at: usize) {
        if self.words.len() <= at / BITS {
            self.words.resize(at / BITS + 1, 0);
        }
        self.words[at / BITS] |= 1 << (at % BITS);
    }

    /// Puts `at` in, or takes it out.
    pub(super) fn put(&mut self, at: usize, is_in: bool) {
        if is_in {
            self.insert(at);
        } else if let Some(word) = self.words.get_mut(at / BITS) {
            *word &= !(1 << (at % BITS));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The places that are in, the first first.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let rest = std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)));
            let bits = rest.take_while(|word| *word != 0);
            bits.map(move |word| at * BITS + word.trailing_zeros() as usize)
        })
    }

    /// Puts the first `count` places in.
    pub(super) fn fill(&mut self, count: usize) {
        self.words.clear();
        self.words.resize(count / BITS, u64::MAX);
        if !count.is_multiple_of(BITS) {
            self.words.push((1 << (count % BITS)) - 1);
        }
    }

    /// Puts in all that are in `other`, and empties that.
    pub(super) fn take_over(&mut self, other: &mut Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, other) in self.words.iter_mut().zip(&mut other.words) {
            *word |= std::mem::take(other);
        }
    }

    /// Takes out the first place that is in, from `from` on.
    pub(super) fn take_next(&mut self, from: usize) -> Option<usize> {
        let mut mask = u64::MAX << (from % BITS);
        for (at, word) in self.words.iter_mut().enumerate().skip(from / BITS) {
            let bits = *word & mask;
            if bits != 0 {
                *word &= !(bits & bits.wrapping_neg());
                return Some(at * BITS + bits.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }

    /// Somebody came to the place `at`: who was there or behind moved up by one.
    pub(super) fn came(&mut self, at: usize) {
        let (first, below) = (at / BITS, (1_u64 << (at % BITS)) - 1);
        let Some(word) = self.words.get_mut(first) else { return };
        let mut carry = *word >> (BITS - 1);
        *word = (*word & below) | ((*word & !below) << 1);
        for word in &mut self.words[first + 1..] {
            let next = *word >> (BITS - 1);
            *word = *word << 1 | carry;
            carry = next;
        }
        if carry != 0 {
            self.words.push(carry);
        }
    }

    /// Who was at the place `at` is gone: those behind moved down by one.
    pub(super) fn left(&mut self, at: usize) {
        let (first, below) = (at / BITS, (1_u64 << (at % BITS)) - 1);
        let mut carry = 0;
        for word in self.words.iter_mut().skip(first + 1).rev() {
            let next = *word & 1;
            *word = *word >> 1 | carry << (BITS - 1);
            carry = next;
        }
        if let Some(word) = self.words.get_mut(first) {
            *word = (*word & below) | (*word >> 1 & !below) | carry << (BITS - 1);
        }
    }

    pub(super) fn clear(&mut self) {
        self.words.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Put(usize, bool),
        Came(usize),
        Left(usize),
        TakeNext(usize),
        Fill,
        TakeOver,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<(usize, bool)>().prop_map(|(at, is_in)| Step::Put(at, is_in)),
            any::<usize>().prop_map(Step::Came),
            any::<usize>().prop_map(Step::Left),
            any::<usize>().prop_map(Step::TakeNext),
            Just(Step::Fill),
            Just(Step::TakeOver),
        ]
    }

    proptest! {
        /// Two sets, and two lists of flags that go through the same.
        #[test]
        fn they_are_lists_of_flags(count in 1_usize..150, steps in prop::collection::vec(step(), 0..60)) {
            let mut sets = [Places::default(), Places::default()];
            let mut flags = [vec![false; count], vec![false; count]];
            for (turn, step) in steps.into_iter().enumerate() {
                let count = flags[0].len();
                match step {
                    Step::Put(at, is_in) if count > 0 => {
                        sets[turn % 2].put(at % count, is_in);
                        flags[turn % 2][at % count] = is_in;
                    }
                    Step::Came(at) => {
                        sets.iter_mut().for_each(|set| set.came(at % (count + 1)));
                        flags.iter_mut().for_each(|flags| flags.insert(at % (count + 1), false));
                    }
                    Step::Left(at) if count > 0 => {
                        sets.iter_mut().for_each(|set| set.left(at % count));
                        flags.iter_mut().for_each(|flags| { flags.remove(at % count); });
                    }
                    Step::TakeNext(from) if count > 0 => {
                        let from = from % count;
                        let next = flags[0][from..].iter().position(|flag| *flag).map(|next| from + next);
                        prop_assert_eq!(sets[0].take_next(from), next);
                        next.into_iter().for_each(|next| flags[0][next] = false);
                    }
                    Step::Fill => {
                        sets[1].fill(count);
                        flags[1].fill(true);
                    }
                    Step::TakeOver => {
                        let [one, other] = &mut sets;
                        one.take_over(other);
                        let [one, other] = &mut flags;
                        one.iter_mut().zip(other).for_each(|(one, other)| *one |= std::mem::take(other));
                    }
                    _ => {}
                }
            }
            for (mut set, flags) in sets.into_iter().zip(flags) {
                let flagged: Vec<usize> = (0..flags.len()).filter(|&at| flags[at]).collect();
                prop_assert_eq!(set.is_empty(), flagged.is_empty());
                prop_assert_eq!(set.iter().collect::<Vec<_>>(), flagged.clone());
                let mut from = 0;
                let taken = std::iter::from_fn(|| {
                    let next = set.take_next(from)?;
                    from = next + 1;
                    Some(next)
                });
                prop_assert_eq!(taken.collect::<Vec<_>>(), flagged);
            }
        }
    }
}
