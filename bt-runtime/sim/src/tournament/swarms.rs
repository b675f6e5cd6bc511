//! The swarms in which two policies meet: each class divided between them.

use std::sync::Arc;

use bt_runtime::{Profile, TextError};

use crate::Scenario;
use crate::scenario::{Arrivals, Group};

/// `base` with each of `classes` divided between two profiles, and the names of the classes of each; the second's come
/// first if they are `turned`.
pub(super) fn mixed(
    base: &Scenario,
    classes: &[String],
    sides: [(&str, &Arc<Profile>); 2],
    share: f64,
    turned: bool,
) -> Result<(Scenario, [Vec<String>; 2]), TextError> {
    let mut names = [Vec::new(), Vec::new()];
    let mut groups: Vec<Group> = Vec::new();
    for group in &base.groups {
        if !classes.contains(&group.name) {
            groups.push(group.clone());
            continue;
        }
        let Some(counts) = divided(group.count, share, turned) else {
            let message =
                format!("class `{}` is too small to be divided: it needs at least 2 peers", group.name);
            return Err(TextError::new(&message));
        };
        let mut both = [0, 1].map(|side: usize| {
            let (label, profile) = sides[side];
            let mut name = class_name(&group.name, label);
            while base.groups.iter().any(|other| other.name == name)
                || names.iter().flatten().any(|other| *other == name)
            {
                name.push('_');
            }
            names[side].push(name.clone());
            let part = if side == 0 { share } else { 1.0 - share };
            let arrives = part_of(&group.arrives, counts[0], side, part);
            Group { name, count: counts[side], profile: profile.clone(), arrives, ..group.clone() }
        });
        if turned {
            both.reverse();
        }
        groups.extend(both);
    }
    Ok((Scenario { groups, ..base.clone() }, names))
}

/// A count divided in two, each at least 1; `None` if it cannot be. No count stays none. If both could have the odd one,
/// the first has it, or the second if they are `turned`.
fn divided(count: Option<u32>, share: f64, turned: bool) -> Option<[Option<u32>; 2]> {
    let Some(count) = count else { return Some([None, None]) };
    if count < 2 {
        return None;
    }
    let part = f64::from(count) * share;
    let down = turned && part - part.floor() == 0.5;
    let first = ((if down { part } else { part + 0.5 }) as u32).clamp(1, count - 1);
    Some([Some(first), Some(count - first)])
}

/// Whose arrivals are those of a part of a group: `first` peers of it are on side 0.
fn part_of(arrives: &Arrivals, first: Option<u32>, side: usize, part: f64) -> Arrivals {
    match arrives {
        Arrivals::At(time) => Arrivals::At(*time),
        Arrivals::Rate(rate) => Arrivals::Rate(rate * part),
        Arrivals::Poisson(rate) => Arrivals::Poisson(rate * part),
        Arrivals::Trace(times) => {
            // Spread evenly: the arrival number i is the first's if that brings it to its part of i + 1.
            let (all, first) = (times.len().max(1) as u64, u64::from(first.unwrap_or(0)));
            let is_first = |at: u64| (at + 1) * first / all > at * first / all;
            let own = times.iter().zip(0_u64..).filter(|(_, at)| is_first(*at) == (side == 0));
            Arrivals::Trace(own.map(|(time, _)| *time).collect())
        }
    }
}

/// The name of the peers of `class` that run `label`.
fn class_name(class: &str, label: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let label: String = label.chars().map(allowed).take(40).collect();
    let class: String = class.chars().take(50).collect();
    format!("{class}-{label}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_group_is_divided_and_so_are_its_arrivals() {
        assert_eq!(divided(Some(31), 0.5, false), Some([Some(16), Some(15)]));
        assert_eq!(divided(Some(31), 0.5, true), Some([Some(15), Some(16)]));
        assert_eq!(divided(Some(30), 0.5, true), Some([Some(15), Some(15)]));
        assert_eq!(divided(Some(10), 0.01, false), Some([Some(1), Some(9)]));
        assert_eq!(divided(None, 0.3, false), Some([None, None]));
        assert_eq!(divided(Some(1), 0.5, false), None);
        let times: Vec<Duration> = (0..10).map(Duration::from_secs).collect();
        let trace = Arrivals::Trace(times);
        let [a, b] = [0, 1].map(|side| match part_of(&trace, Some(4), side, 0.4) {
            Arrivals::Trace(times) => times.into_iter().map(|time| time.as_secs()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        });
        assert_eq!((a, b), (vec![2, 4, 7, 9], vec![0, 1, 3, 5, 6, 8]));
        assert_eq!(part_of(&Arrivals::Poisson(2.0), None, 1, 0.25), Arrivals::Poisson(0.5));
    }

    #[test]
    fn names_of_classes_are_names() {
        assert_eq!(class_name("leecher", "mainline#2"), "leecher-mainline-2");
        assert!(class_name(&"x".repeat(100), &"y".repeat(100)).len() <= 100);
    }
}
