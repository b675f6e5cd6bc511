//! What metrics are called in a report, how they are counted, and which matter most.

use super::text::Unit;

/// The metric of the choke matrix.
pub(super) const CLUSTERING: &str = "clustering_index";

/// A metric as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metric {
    /// Its name in words.
    pub(super) title: String,
    /// How it is counted.
    pub(super) unit: Unit,
}

/// Known metrics in the order of tables: name, words, unit, and whether it is among those that a comparison draws.
const KNOWN: &[(&str, &str, Unit, bool)] = &[
    ("completion_time", "Completion time", Unit::Seconds, true),
    ("normalized_time", "Completion time over the lower bound", Unit::Plain, false),
    ("link_time", "Completion time over that of the own downlink", Unit::Plain, false),
    ("download_rate", "Download rate", Unit::Rate, false),
    ("upload_utilization", "Upload utilisation", Unit::Share, true),
    ("upload_utilization_seeds", "Upload utilisation of seeds", Unit::Share, true),
    ("download_utilization", "Download utilisation", Unit::Share, true),
    ("peer_upload_utilization", "Upload utilisation by peer", Unit::Share, false),
    ("peer_download_utilization", "Download utilisation by peer", Unit::Share, false),
    ("share_ratio", "Share ratio", Unit::Plain, false),
    ("normalized_upload", "Uploaded copies of the content", Unit::Plain, false),
    ("altruism", "Altruism (marginal)", Unit::Plain, false),
    ("service_error", "Service error", Unit::Bytes, true),
    ("pair_imbalance", "Largest imbalance of a pair", Unit::Bytes, false),
    ("proportionality", "Gifts in proportion to those of the last round", Unit::Share, false),
    ("jain_ratio", "Fairness: Jain's index of share ratios", Unit::Plain, true),
    ("jain_rate", "Fairness: Jain's index of download rates", Unit::Plain, true),
    ("jain_seed_service", "Fairness: Jain's index of bytes from seeds", Unit::Plain, true),
    ("freerider_gain", "Free riders' gain", Unit::Plain, true),
    (CLUSTERING, "Clustering index", Unit::Plain, false),
    ("clustering_index_bytes", "Clustering index by bytes", Unit::Plain, false),
    ("clustering_share", "Clustering index by chance", Unit::Plain, false),
    ("stratification_distance", "Stratification distance", Unit::Plain, true),
    ("stratification_random", "Stratification distance by chance", Unit::Plain, false),
    ("reciprocation", "Reciprocated bytes", Unit::Share, true),
    ("unchoke_time", "Length of an unchoke", Unit::Seconds, true),
    ("unchokes_per_minute", "Unchokes per minute", Unit::Plain, false),
    ("slot_jaccard", "Slots kept from round to round (Jaccard)", Unit::Plain, false),
    ("fibrillation", "Unchokes shorter than 20 s", Unit::Plain, false),
    ("availability_min", "Copies of the rarest piece", Unit::Plain, false),
    ("availability_mean", "Copies of a piece, mean", Unit::Plain, false),
    ("distributed_copies", "Distributed copies", Unit::Plain, false),
    ("entropy", "Entropy of the pieces", Unit::Share, true),
    ("interest_ratio_p20", "Time interested in a neighbour, 20th percentile", Unit::Share, false),
    ("interest_ratio_p50", "Time interested in a neighbour, median", Unit::Share, false),
    ("interest_ratio_p80", "Time interested in a neighbour, 80th percentile", Unit::Share, false),
    ("first_block", "Time to the first block", Unit::Seconds, true),
    ("first_piece", "Time to the first piece", Unit::Seconds, true),
    ("first_k_pieces", "Share of time for the first pieces", Unit::Share, false),
    ("last_k_pieces", "Share of time for the last pieces", Unit::Share, false),
    ("seed_share", "Bytes from seeds", Unit::Share, true),
    ("seed_copies", "Copies served by initial seeds until the first completion", Unit::Plain, false),
    ("seed_bytes", "Bytes from seeds, by peer", Unit::Bytes, false),
    ("overhead", "Overhead", Unit::Share, true),
    ("have_messages", "Have messages", Unit::Plain, false),
    ("request_messages", "Request messages", Unit::Plain, false),
    ("choke_messages", "Choke and unchoke messages", Unit::Plain, false),
    ("duplicate_bytes", "Duplicate bytes", Unit::Bytes, false),
    ("wasted_bytes", "Wasted bytes", Unit::Bytes, true),
    ("leechers", "Leechers present", Unit::Plain, false),
    ("seeds", "Seeds present", Unit::Plain, false),
];

/// A name without the statistic that may follow it (`completion_time.median`), and that.
fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('.').map_or((name, None), |(metric, statistic)| (metric, Some(statistic)))
}

/// Where a metric stands in tables; unknown ones come last.
pub(super) fn place(name: &str) -> usize {
    KNOWN.iter().position(|known| known.0 == split(name).0).unwrap_or(KNOWN.len())
}

/// Whether a comparison draws this metric.
pub(super) fn is_key(name: &str) -> bool {
    KNOWN.get(place(name)).is_some_and(|known| known.3)
}

impl Metric {
    /// The metric of this name; one that isn't known is shown under its name, as a bare number.
    pub(super) fn of(name: &str) -> Self {
        let (metric, statistic) = split(name);
        let Some((_, title, unit, _)) = KNOWN.get(place(metric)) else {
            return Self { title: name.to_owned(), unit: Unit::Plain };
        };
        let title = match statistic {
            None => (*title).to_owned(),
            Some(statistic) => format!("{title}, {statistic}"),
        };
        Self { title, unit: *unit }
    }
}
