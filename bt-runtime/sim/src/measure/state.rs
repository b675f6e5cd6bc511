//! What is kept of each peer and each connection while a run goes on: dense arrays, plain sums.

use std::net::SocketAddr;

use super::exchange::{Exchange, Exchanges};

/// No peer, no connection, no class.
pub(super) const NOBODY: u32 = u32::MAX;

/// Sets of unchoked peers are compared over so many nanoseconds: the round of the original.
pub(super) const ROUND: u64 = 10_000_000_000;

/// A client that takes part. Times are nanoseconds since the start of the run.
#[derive(Debug)]
pub(super) struct Node {
    /// Whether anything was heard of it.
    pub(super) known: bool,
    pub(super) class: u32,
    pub(super) address: Option<SocketAddr>,
    pub(super) up: Option<u64>,
    pub(super) down: Option<u64>,
    /// Its place among the distinct uplinks.
    pub(super) capacity: u32,
    pub(super) arrived: u64,
    pub(super) completed: Option<u64>,
    pub(super) left: Option<u64>,
    /// Whether it had everything on arrival.
    pub(super) initial: bool,
    /// The content's length, and what it lacked on arrival.
    pub(super) total: u64,
    pub(super) missing: u64,
    pub(super) missing_pieces: u32,
    pub(super) piece_length: u32,
    /// A bit for each piece that it has.
    pub(super) have: Vec<u64>,
    /// Pieces verified since arrival.
    pub(super) verified: u32,

    pub(super) uploaded: u64,
    pub(super) downloaded: u64,
    pub(super) uploaded_as_leecher: u64,
    pub(super) downloaded_as_leecher: u64,
    pub(super) from_seeds: u64,
    pub(super) duplicate: u64,
    pub(super) failed: u64,
    /// Bytes from leechers, and of those the ones that came while each unchoked the other.
    pub(super) from_leechers: u64,
    pub(super) mutual: u64,
    /// Bytes to leechers less bytes from leechers, and how far from zero that ever was.
    pub(super) balance: i64,
    pub(super) worst_balance: u64,
    /// The most that it had given one leecher beyond what came from that one, on one connection.
    pub(super) worst_pair: i64,
    pub(super) exchanges: Exchanges,

    pub(super) first_block: Option<u64>,
    pub(super) first_piece: Option<u64>,
    pub(super) first_k: Option<u64>,
    pub(super) last_k: Option<u64>,

    pub(super) unchokes: u64,
    pub(super) unchoked_for: u64,
    pub(super) fibrillation: u64,
    pub(super) rounds: Rounds,

    pub(super) haves: u64,
    pub(super) requests: u64,
    pub(super) chokes: u64,
    /// Bytes of messages that are no payload, both ways.
    pub(super) overhead: u64,

    /// For each connection that ended, which part of it we were interested.
    pub(super) interest: Vec<f64>,
    /// Where the state of each connection is, by its number.
    pub(super) slots: Vec<u32>,
}

impl Node {
    pub(super) fn new() -> Self {
        Self {
            known: false,
            class: NOBODY,
            address: None,
            up: None,
            down: None,
            capacity: NOBODY,
            arrived: 0,
            completed: None,
            left: None,
            initial: false,
            total: 0,
            missing: 0,
            missing_pieces: 0,
            piece_length: 0,
            have: Vec::new(),
            verified: 0,
            uploaded: 0,
            downloaded: 0,
            uploaded_as_leecher: 0,
            downloaded_as_leecher: 0,
            from_seeds: 0,
            duplicate: 0,
            failed: 0,
            from_leechers: 0,
            mutual: 0,
            balance: 0,
            worst_balance: 0,
            worst_pair: 0,
            exchanges: Exchanges::default(),
            first_block: None,
            first_piece: None,
            first_k: None,
            last_k: None,
            unchokes: 0,
            unchoked_for: 0,
            fibrillation: 0,
            rounds: Rounds::default(),
            haves: 0,
            requests: 0,
            chokes: 0,
            overhead: 0,
            interest: Vec::new(),
            slots: Vec::new(),
        }
    }

    pub(super) fn is_leecher(&self) -> bool {
        self.completed.is_none()
    }

    /// Whether what it serves says something of its choice: as a leecher, or as a seed from the start.
    pub(super) fn counts_as_server(&self) -> bool {
        self.is_leecher() || self.initial
    }

    pub(super) fn add_balance(&mut self, bytes: i64) {
        self.balance = self.balance.saturating_add(bytes);
        self.worst_balance = self.worst_balance.max(self.balance.unsigned_abs());
    }

    /// How many pieces the first and the last of a download are.
    pub(super) fn few_pieces(&self) -> u32 {
        self.missing_pieces.div_ceil(20).max(1)
    }

    /// How many bytes of a block of `length`, which is whole at `now` and counted in `uploaded`, left while this seed still
    /// lacked something: what its uplink cannot have carried since.
    pub(super) fn sent_before_it_was_a_seed(&self, now: u64, length: u64) -> u64 {
        let (Some(up), Some(completed), false) = (self.up, self.completed, self.initial) else { return 0 };
        let could = u128::from(up) * u128::from(now.saturating_sub(completed)) / 1_000_000_000;
        let as_seed = u128::from(self.uploaded - self.uploaded_as_leecher);
        as_seed.saturating_sub(could).min(length.into()) as u64
    }

    /// How long it was a leecher, at the latest until `now`, in nanoseconds.
    pub(super) fn leeched_for(&self, now: u64) -> u64 {
        if self.initial {
            return 0;
        }
        let end = self.completed.or(self.left).unwrap_or(now);
        end.saturating_sub(self.arrived)
    }

    /// How long it was there, at the latest until `now`, in nanoseconds.
    pub(super) fn present_for(&self, now: u64) -> u64 {
        self.left.unwrap_or(now).saturating_sub(self.arrived)
    }
}

/// How much the set of unchoked peers changes from round to round. A set stays the same between changes, so rounds
/// are only looked at when something changes.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// The number of the round that runs, from 1.
    round: u64,
    /// How many were unchoked at its begin, how many are now, and how many of those now were then.
    before: u64,
    now: u64,
    both: u64,
    sum: f64,
    count: u64,
}

impl Rounds {
    /// Ends the rounds that are over by `now`.
    pub(super) fn advance(&mut self, now: u64) -> u64 {
        let round = now / ROUND + 1;
        if round > self.round {
            if self.round > 0 {
                let either = self.before + self.now - self.both;
                if either > 0 {
                    self.sum += self.both as f64 / either as f64;
                    self.count += 1;
                }
                if self.now > 0 {
                    // Nothing changed in those that followed.
                    self.sum += (round - self.round - 1) as f64;
                    self.count += round - self.round - 1;
                }
            }
            self.round = round;
            self.before = self.now;
            self.both = self.now;
        }
        round
    }

    /// Somebody is unchoked from now on; `then`: it was at the begin of this round, too.
    pub(super) fn unchoked(&mut self, then: bool) {
        self.now += 1;
        self.both += u64::from(then);
    }

    /// Somebody is choked from now on; `then`: it was unchoked at the begin of this round.
    pub(super) fn choked(&mut self, then: bool) {
        self.now -= 1;
        self.both -= u64::from(then);
    }

    /// The mean over rounds of the common part of both sets over all of both.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// One end of a connection, as its node sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conn {
    /// The node at the other end and its class, where known.
    pub(super) other: u32,
    pub(super) class: u32,
    pub(super) since: u64,
    /// Until when the sums below and in the matrices are kept.
    pub(super) mark: u64,
    /// Whether we are interested in it, and it in us; whether we unchoke it, and it us.
    pub(super) interested: bool,
    pub(super) wanted: bool,
    pub(super) serving: bool,
    pub(super) served: bool,
    /// How long we were interested, as a leecher.
    pub(super) interested_for: u64,
    pub(super) unchoked_at: u64,
    /// The last round at whose begin it was unchoked, as far as it had to be noted.
    pub(super) in_round: u64,
    pub(super) exchange: Exchange,
}

impl Conn {
    pub(super) fn new(now: u64, other: u32, class: u32) -> Self {
        Self {
            other,
            class,
            since: now,
            mark: now,
            interested: false,
            wanted: false,
            serving: false,
            served: false,
            interested_for: 0,
            unchoked_at: 0,
            in_round: 0,
            exchange: Exchange::default(),
        }
    }
}
