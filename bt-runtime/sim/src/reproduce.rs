//! Published results, reproduced: each with its set-up, what is expected and how well that is known, what was
//! measured, and a verdict.
//!
//! A reproduction is a row of [`REPRODUCTIONS`] and a file of its own. It gets a [`Lab`], which runs its cells (a
//! scenario and a seed) in parallel and keeps their results, and answers with [`Findings`]. What does not come out is
//! reported as such, with an explanation; set-ups follow their source and what the theory assumes, nothing else.
//!
//! | module | holds |
//! | --- | --- |
//! | `lab` | runs cells, keeps their results |
//! | `findings` | what is expected and measured, and the verdicts |
//! | `render` | findings as text and as Markdown |
//! | `octosim`, `live_swarm` | the swarms of several of them |
//! | `hypercube` | the optimal schedule of a central planner |
//! | the others | one reproduction each |

mod arrival_order;
mod bittyrant;
mod block_tft;
mod clustering;
mod distribution_time;
mod fair_torrent;
mod fidelity;
mod findings;
mod free_riders;
mod give_to_get;
mod hypercube;
mod lab;
mod large_view;
mod live_swarm;
mod missing_piece;
mod mode_suppression;
mod octosim;
mod optimal_schedule;
mod prop_share;
mod rarest_enough;
mod render;
mod scale;
mod seed_bandwidth;
mod seed_quota;
mod seed_scheduling;
mod steady_state;
mod super_seeding;
mod weak_seeds;

pub use findings::{Check, Findings, Row, Sample, Standing, Verdict, judge, judge_each};
pub use lab::{Cell, Figures, Lab, LabError};
pub use render::{Report, markdown, text};

/// A published result, and how it is reproduced.
#[derive(Clone, Copy, Debug)]
pub struct Reproduction {
    /// Its name in commands and files.
    pub name: &'static str,
    /// What is reproduced, in a line.
    pub title: &'static str,
    /// Where it was published.
    pub source: &'static str,
    /// Runs it.
    pub run: fn(&Lab<'_>) -> Result<Findings, LabError>,
}

/// Every reproduction, in the order in which they are run.
pub const REPRODUCTIONS: &[Reproduction] = &[
    distribution_time::REPRODUCTION,
    optimal_schedule::REPRODUCTION,
    steady_state::REPRODUCTION,
    missing_piece::REPRODUCTION,
    mode_suppression::REPRODUCTION,
    scale::REPRODUCTION,
    seed_bandwidth::REPRODUCTION,
    weak_seeds::REPRODUCTION,
    clustering::REPRODUCTION,
    arrival_order::REPRODUCTION,
    rarest_enough::REPRODUCTION,
    seed_scheduling::REPRODUCTION,
    give_to_get::REPRODUCTION,
    seed_quota::REPRODUCTION,
    super_seeding::REPRODUCTION,
    block_tft::REPRODUCTION,
    bittyrant::REPRODUCTION,
    prop_share::REPRODUCTION,
    fair_torrent::REPRODUCTION,
    large_view::REPRODUCTION,
    free_riders::REPRODUCTION,
    fidelity::REPRODUCTION,
];

/// The reproduction of this name.
pub fn reproduction(name: &str) -> Option<&'static Reproduction> {
    REPRODUCTIONS.iter().find(|one| one.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_for_files() {
        for (at, one) in REPRODUCTIONS.iter().enumerate() {
            assert!(
                one.name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'),
                "{}",
                one.name
            );
            assert!(REPRODUCTIONS[..at].iter().all(|other| other.name != one.name), "{}", one.name);
            assert_eq!(reproduction(one.name).unwrap().title, one.title);
        }
    }
}
