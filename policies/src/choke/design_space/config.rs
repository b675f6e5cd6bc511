//! The keys of `design-space` and `birds`.

use bt_api::config;
use serde::{Deserialize, Serialize};

use crate::choke::tit_for_tat;

/// The `[choke]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// When peers are served that are no candidates.
    pub strangers: Strangers,
    /// The most of them that are served at once (one in the paper, as recalled, unverified).
    pub stranger_slots: usize,
    /// Who may become a partner.
    pub candidates: Candidates,
    /// Which candidates go first.
    pub ranking: Ranking,
    /// Partners at once, at most.
    pub partners: usize,
    /// What each partner gets.
    pub allocation: Allocation,
    /// How long a round lasts.
    pub round: config::Duration,
    /// Who is served once we are a seed: the keys of `tit-for-tat`.
    pub seed: tit_for_tat::Config,
}

/// When strangers are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Strangers {
    /// In every round.
    #[default]
    Periodic,
    /// In the place of partners that are missing.
    WhenNeeded,
    /// Never: two peers that both do so never begin.
    Defect,
}

/// Who may become a partner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Candidates {
    /// Who gave something in the last round: tit for tat.
    #[default]
    LastRound,
    /// Who gave something in the last two: tit for two tats.
    LastTwoRounds,
}

/// Which candidates go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ranking {
    /// Who gave most.
    #[default]
    Fastest,
    /// Who gave least.
    Slowest,
    /// Whose rate is nearest to what we give a slot.
    Proximity,
    /// Who gave something for the most rounds in a row.
    Loyal,
    /// By lot.
    Random,
}

/// What each partner gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Allocation {
    /// The same.
    #[default]
    EqualSplit,
    /// In proportion to what it gave; a stranger as much as the mean partner.
    PropShare,
    /// Nothing. Strangers are served as their policy says; as a seed nobody is.
    FreeRide,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            strangers: Strangers::Periodic,
            stranger_slots: 1,
            candidates: Candidates::LastRound,
            ranking: Ranking::Fastest,
            // Three and one stranger: the slots of BitTorrent 4.x. Ours.
            partners: 3,
            allocation: Allocation::EqualSplit,
            round: config::Duration::secs(10),
            seed: tit_for_tat::Config::default(),
        }
    }
}

/// The `[choke]` table of `birds`; what is not here is as in `design-space`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BirdsConfig {
    /// Peers served for their rate at once, at most.
    pub partners: usize,
    /// Others that are served in every round (one in the paper, as recalled, unverified).
    pub stranger_slots: usize,
    /// How long a round lasts.
    pub round: config::Duration,
    /// Who is served once we are a seed: the keys of `tit-for-tat`.
    pub seed: tit_for_tat::Config,
}

impl Default for BirdsConfig {
    fn default() -> Self {
        let Config { partners, stranger_slots, round, seed, .. } = Config::default();
        Self { partners, stranger_slots, round, seed }
    }
}
