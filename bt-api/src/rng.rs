//! Chance: one named, portable generator, and a stream of its own for each user of chance.
//!
//! The generator is xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number generators",
//! 2019). It is named because rand's `StdRng` and `SmallRng` may change between releases, and a run must
//! come out the same for years. For the same reason the few draws that policies need ([`below`],
//! [`shuffle`], [`choose`]) are defined here and not borrowed from rand's distributions.

pub use rand::Rng;
use rand::SeedableRng;

/// The generator behind every draw of a run.
pub type Generator = rand::rngs::Xoshiro256PlusPlus;

/// The stream that belongs to `name` at `node` in a run of `seed`.
///
/// Streams are independent: one more draw by a picker leaves the choker's draws alone. `node` is 0 in a
/// client and numbers the peers of a simulated swarm.
pub fn stream(seed: u64, node: u64, name: &str) -> Generator {
    // FNV-1a spreads the name; splitmix64 (inside `seed_from_u64`) spreads the sum over the state.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    seed.to_le_bytes().into_iter().for_each(&mut eat);
    node.to_le_bytes().into_iter().for_each(&mut eat);
    name.bytes().for_each(&mut eat);
    Generator::seed_from_u64(hash)
}

/// A uniform draw from `0..bound`, by Lemire's method (ACM TOMACS 29, 2019), without bias.
///
/// # Panics
/// When `bound` is 0.
pub fn below(rng: &mut dyn Rng, bound: u32) -> u32 {
    assert!(bound > 0, "a draw from an empty range");
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let wide = u64::from(rng.next_u32()) * u64::from(bound);
        if wide as u32 >= threshold {
            return (wide >> 32) as u32;
        }
    }
}

/// A uniform draw from `slice`, or `None` when it is empty.
pub fn choose<'a, T>(rng: &mut dyn Rng, slice: &'a [T]) -> Option<&'a T> {
    if slice.is_empty() {
        return None;
    }
    let bound = u32::try_from(slice.len()).expect("fewer than 2^32 items");
    Some(&slice[below(rng, bound) as usize])
}

/// Puts `slice` into a uniformly random order (Fisher and Yates).
pub fn shuffle<T>(rng: &mut dyn Rng, slice: &mut [T]) {
    for last in (1..slice.len()).rev() {
        let bound = u32::try_from(last + 1).expect("fewer than 2^32 items");
        slice.swap(last, below(rng, bound) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_one_that_it_says_it_is() {
        // The first output of xoshiro256++ for the state 1, 2, 3, 4, from the authors' reference code.
        let mut seed = [0; 32];
        for (i, word) in seed.chunks_mut(8).enumerate() {
            word.copy_from_slice(&(i as u64 + 1).to_le_bytes());
        }
        let mut rng = Generator::from_seed(seed);
        assert_eq!(rng.next_u64(), 41_943_041);
        assert_eq!(rng.next_u64(), 58_720_359);
    }

    #[test]
    fn streams_differ_by_seed_node_and_name_and_repeat() {
        let first = |seed, node, name| stream(seed, node, name).next_u64();
        let here = first(1, 0, "choke");
        assert_eq!(here, first(1, 0, "choke"));
        assert_ne!(here, first(2, 0, "choke"));
        assert_ne!(here, first(1, 1, "choke"));
        assert_ne!(here, first(1, 0, "piece"));
    }

    #[test]
    fn draws_are_in_range_and_reach_every_value() {
        let mut rng = stream(1, 0, "test");
        let mut seen = [0; 7];
        for _ in 0..7000 {
            seen[below(&mut rng, 7) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (800..1200).contains(&n)), "{seen:?}");
        assert_eq!(choose::<u8>(&mut rng, &[]), None);
        let mut items: Vec<u32> = (0..50).collect();
        shuffle(&mut rng, &mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
