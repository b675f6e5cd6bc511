//! What each peer gave and took, round by round of a policy's own clock.
//!
//! The engine's figures of a round begin anew at every round, also at one that an event caused; a policy that compares
//! whole rounds keeps them here.

use std::collections::BTreeMap;

use bt_api::{PeerKey, SwarmView};

/// The books on all connected peers.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<PeerKey, Account>);

/// The book on one peer; one that connected since the last round has an empty one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    /// Bytes that it gave us in the last whole round.
    pub(super) gave: u64,
    /// Bytes that it gave us in the round before.
    pub(super) gave_before: u64,
    /// Bytes that we gave it in the last whole round.
    pub(super) took: u64,
    /// For how many rounds in a row it gave something, up to the last.
    pub(super) loyal: u32,
    /// All that it had given when the last round ended.
    downloaded: u64,
    /// All that it had taken then.
    uploaded: u64,
}

impl Ledger {
    /// A round by the clock ends.
    pub(super) fn tick(&mut self, swarm: &SwarmView<'_>) {
        self.0.retain(|&peer, _| swarm.peer(peer).is_some());
        for peer in swarm.peers() {
            let account = self.0.entry(peer.key).or_default();
            let gave = peer.downloaded.saturating_sub(account.downloaded);
            *account = Account {
                gave,
                gave_before: account.gave,
                took: peer.uploaded.saturating_sub(account.uploaded),
                loyal: if gave > 0 { account.loyal.saturating_add(1) } else { 0 },
                downloaded: peer.downloaded,
                uploaded: peer.uploaded,
            };
        }
    }

    /// The book on `peer`.
    pub(super) fn of(&self, peer: PeerKey) -> Account {
        self.0.get(&peer).copied().unwrap_or_default()
    }
}
