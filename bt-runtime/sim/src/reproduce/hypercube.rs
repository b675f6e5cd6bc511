//! The optimal schedule of a central planner: one server and N users of equal uplinks, without limit on downloads, have
//! M pieces everywhere in M + floor(log2 N) rounds, a round being the time of one piece on one uplink. No schedule is
//! faster (Mundinger, Weber and Weiss, "Optimal scheduling of peer-to-peer file dissemination", 2008).
//!
//! The schedule is the binomial pipeline over a hypercube (Ganesan and Seshadri, "On cooperative content distribution
//! and the price of barter", ICDCS 2005). Let h be floor(log2(N + 1)). The corners of a hypercube of dimension h are
//! teams: corner 0 is the server, every other one is one user or two. In round t each team gives to its neighbour
//! along dimension t mod h the latest piece that it has; the server gives piece t, and the last one once all are out.
//! In a team of two, one uplink does that, and the other gives its mate what that one lacks; in the last round both do.
//! With N + 1 a power of two every team is one user, and there is no such last round.

use crate::sharing::{LinkId, Sharing};

/// Who gives which piece to whom; users count from 1, the server is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gift {
    /// Who sends.
    pub(super) from: usize,
    /// Who receives.
    pub(super) to: usize,
    /// Which piece, from 0.
    pub(super) piece: usize,
}

/// The rounds until each of `users` has each of `pieces`; both at least 1.
pub(super) fn schedule(users: usize, pieces: usize) -> Vec<Vec<Gift>> {
    let dimensions = (users + 1).ilog2() as usize;
    let corners = 1 << dimensions;
    // Teams of one or two: who does not fit is the mate of an earlier one.
    let mates = |corner: usize| {
        let mate = corners + corner - 1;
        [Some(corner), (corner > 0 && mate <= users).then_some(mate)].into_iter().flatten()
    };
    let mut held = vec![vec![false; pieces]; users + 1];
    held[0].fill(true);
    let mut rounds = Vec::new();
    while held.iter().any(|held| held.contains(&false)) {
        let round = rounds.len();
        let dimension = 1 << (round % dimensions);
        // What each team gives its neighbour, and who of it does.
        let given: Vec<Option<(usize, usize)>> = (0..corners)
            .map(|corner| {
                let piece = match corner {
                    0 => Some(round.min(pieces - 1)),
                    _ => (0..pieces).rev().find(|&piece| mates(corner).any(|user| held[user][piece])),
                };
                let neighbour = corner ^ dimension;
                let piece = piece.filter(|&piece| mates(neighbour).all(|user| !held[user][piece]))?;
                Some((mates(corner).find(|&user| held[user][piece])?, piece))
            })
            .collect();
        let mut gifts = Vec::new();
        for (corner, gift) in given.iter().enumerate() {
            let Some((from, piece)) = *gift else { continue };
            // Who gives gets its mate's in the same round, so the new one is for the mate: neither is ever behind
            // by more than one.
            let neighbour = corner ^ dimension;
            let busy = given_by(&given, neighbour);
            let to = mates(neighbour).find(|user| Some(*user) != busy).or(busy).unwrap_or(neighbour);
            gifts.push(Gift { from, to, piece });
        }
        for corner in 1..corners {
            let (Some(one), Some(other)) = (mates(corner).next(), mates(corner).nth(1)) else { continue };
            let busy = given_by(&given, corner);
            for (from, to) in [(one, other), (other, one)].into_iter().filter(|(from, _)| Some(*from) != busy)
            {
                let piece = (0..pieces).rev().find(|&piece| held[from][piece] && !held[to][piece]);
                gifts.extend(piece.map(|piece| Gift { from, to, piece }));
            }
        }
        for gift in &gifts {
            held[gift.to][gift.piece] = true;
        }
        rounds.push(gifts);
    }
    rounds
}

/// Who of a team gives to its neighbour.
fn given_by(given: &[Option<(usize, usize)>], corner: usize) -> Option<usize> {
    given[corner].map(|(user, _)| user)
}

/// How long the schedule takes when every uplink carries `up` bytes per second and a piece has `piece` bytes: in
/// seconds, on the same model of the network as every swarm.
pub(super) fn seconds(rounds: &[Vec<Gift>], users: usize, up: u64, piece: u64) -> f64 {
    let mut sharing = Sharing::new();
    let ups: Vec<LinkId> = (0..=users).map(|_| sharing.add_link(Some(up))).collect();
    let downs: Vec<LinkId> = (0..=users).map(|_| sharing.add_link(None)).collect();
    let mut whole = 0.0;
    for round in rounds {
        let start = |gift: &Gift| sharing.start(ups[gift.from], downs[gift.to], 1, None);
        let flows: Vec<_> = round.iter().map(start).collect();
        sharing.settle();
        let slowest = flows.iter().map(|flow| sharing.rate(*flow)).fold(f64::INFINITY, f64::min);
        whole += piece as f64 / slowest;
        for flow in flows {
            sharing.stop(flow);
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_optimum_is_reached_for_every_number_of_users_and_pieces() {
        for users in (1..=70).chain([126, 127, 128, 200, 254, 255]) {
            for pieces in [1, 2, 3, 5, 8, 13, 40] {
                let rounds = schedule(users, pieces);
                let optimum = pieces + users.ilog2() as usize;
                assert_eq!(rounds.len(), optimum, "{users} users, {pieces} pieces");
            }
        }
    }

    #[test]
    fn nobody_sends_twice_in_a_round_or_what_it_lacks() {
        for users in [6, 7, 12, 31] {
            let mut held = vec![[false; 20]; users + 1];
            held[0] = [true; 20];
            for round in schedule(users, 20) {
                let before = held.clone();
                for (at, gift) in round.iter().enumerate() {
                    assert!(before[gift.from][gift.piece]);
                    assert!(round[..at].iter().all(|other| other.from != gift.from));
                    held[gift.to][gift.piece] = true;
                }
            }
            assert!(held.iter().all(|held| !held.contains(&false)));
        }
    }

    #[test]
    fn a_round_is_the_time_of_one_piece() {
        let rounds = schedule(7, 10);
        let took = seconds(&rounds, 7, 50_000, 256_000);
        assert!((took - 12.0 * 5.12).abs() < 1e-9, "{took}");
    }
}
