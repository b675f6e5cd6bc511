//! The metrics as data: name, unit, formula, and the events that each is computed from.
//!
//! The table is what `bt-lab list` and `bt-runtime/docs/metrics.md` show, and its order is that of the columns
//! of `peers.csv`.

/// What a metric is a figure of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of each peer; the summary has its distribution over peers.
    Peer,
    /// Of each moment; the summary has its distribution over time.
    Time,
    /// Of the run; the summary has it five times.
    Run,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in every file.
    pub name: &'static str,
    /// What it is a figure of.
    pub of: Of,
    /// Its unit; `1` for a ratio or a count.
    pub unit: &'static str,
    /// Whether it needs the events of every peer of the swarm: a client's own log does not give it.
    pub swarm: bool,
    /// How it is computed.
    pub formula: &'static str,
    /// The events that it is computed from.
    pub events: &'static str,
}

macro_rules! metrics {
    ($($name:ident $of:ident $unit:literal $swarm:literal $formula:literal $events:literal)*) => {
        /// Every metric, in the order of the columns.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: stringify!($name),
            of: Of::$of,
            unit: $unit,
            swarm: $swarm,
            formula: $formula,
            events: $events,
        }),*];
    };
}

metrics! {
    completion_time Peer "s" false
        "completed - arrived, of peers that finished; the others are counted as censored"
        "joined complete"
    normalized_time Peer "1" false
        "completion_time / the least time in which anybody could serve everybody (bound_s); without such a bound link_time. Only the last peer of a closed crowd cannot be below 1"
        "joined complete"
    link_time Peer "1" false
        "completion_time / (bytes missing on arrival / downlink): never below 1"
        "joined complete"
    download_rate Peer "B/s" false
        "bytes missing on arrival / completion_time"
        "joined complete"
    share_ratio Peer "1" false
        "bytes up / bytes down"
        "block"
    normalized_upload Peer "1" false
        "bytes up / length of the content"
        "joined block"
    altruism Peer "1" false
        "(bytes up - bytes down) / bytes up: the marginal form"
        "block"
    peer_upload_utilization Peer "1" false
        "bytes up while it lacked something / (uplink * that time)"
        "joined block complete left"
    peer_download_utilization Peer "1" false
        "bytes down while it lacked something / (downlink * that time)"
        "joined block complete left"
    service_error Peer "B" true
        "largest |bytes up to leechers - bytes down from leechers| at any time while a leecher"
        "joined peer_connected block complete"
    pair_imbalance Peer "B" true
        "largest bytes up - bytes down of one connection between leechers at any time"
        "joined peer_connected block complete"
    proportionality Peer "1" true
        "how much what it gives follows what it was given: of the leechers that gave in the last 10 s (two or more), sum of min(part of the bytes up to them, part of their bytes down in the last 10 s), over every 10 s since arrival, mean weighted by bytes up; 1: in proportion"
        "joined peer_connected block complete"
    seed_bytes Peer "B" true
        "bytes down from peers that had everything"
        "joined peer_connected block complete"
    first_block Peer "s" false
        "time from arrival to the first block"
        "joined block"
    first_piece Peer "s" false
        "time from arrival to the first verified piece"
        "joined piece_verified"
    first_k_pieces Peer "1" false
        "part of completion_time until the first k pieces; k is a twentieth of those missing on arrival, at least 1"
        "joined piece_verified complete"
    last_k_pieces Peer "1" false
        "part of completion_time from when k pieces were missing; k as above"
        "joined piece_verified complete"
    interest_ratio_p20 Peer "1" false
        "over its connections: time it is interested in the other / time connected, while a leecher; 20 % are below"
        "peer_connected peer_closed interested complete"
    interest_ratio_p50 Peer "1" false
        "the same, the median"
        "peer_connected peer_closed interested complete"
    interest_ratio_p80 Peer "1" false
        "the same, 80 % are below"
        "peer_connected peer_closed interested complete"
    unchoke_time Peer "s" false
        "time that it had others unchoked, summed over them / number of unchokes: the mean length of an unchoke"
        "choke unchoke peer_closed"
    unchokes_per_minute Peer "1/min" false
        "unchokes, those of uninterested peers among them (mainline unchokes these, too), / minutes present"
        "unchoke joined left"
    slot_jaccard Peer "1" false
        "mean over every 10 s of |A and B| / |A or B|, A and B the sets of unchoked peers at its begin and end; where not both are empty"
        "choke unchoke peer_closed"
    fibrillation Peer "1" false
        "unchokes that a choke ended within 20 s"
        "choke unchoke"
    overhead Peer "1" false
        "bytes that are no payload / payload bytes, both ways, from message lengths (BEP 3)"
        "have request cancel reject choke unchoke interested handshake block"
    have_messages Peer "1" false
        "announcements of pieces that it sent"
        "have"
    request_messages Peer "1" false
        "requests that it sent"
        "request"
    choke_messages Peer "1" false
        "chokes and unchokes that it sent"
        "choke unchoke"
    duplicate_bytes Peer "B" false
        "bytes of blocks that it had not asked for, or no longer"
        "duplicate_block"
    wasted_bytes Peer "B" false
        "duplicate_bytes + lengths of pieces that failed their hash"
        "duplicate_block piece_failed"
    leechers Time "1" false
        "peers present that lack something"
        "joined complete left"
    seeds Time "1" false
        "peers present that lack nothing"
        "joined complete left"
    upload_utilization Time "1" false
        "bytes up by leechers / (uplinks of leechers present * time); mean weighted by time; peers without a limit left out"
        "joined block complete left"
    upload_utilization_seeds Time "1" false
        "the same of peers that lack nothing"
        "joined block complete left"
    download_utilization Time "1" false
        "bytes down by leechers / (downlinks of leechers present * time)"
        "joined block complete left"
    availability_min Time "1" true
        "copies of the rarest piece among peers present, while there are leechers"
        "joined piece_verified left"
    availability_mean Time "1" true
        "mean copies of a piece"
        "joined piece_verified left"
    distributed_copies Time "1" true
        "copies of the rarest piece + part of the pieces that have more"
        "joined piece_verified left"
    entropy Time "1" true
        "Shannon entropy of the copies' distribution over pieces / log(number of pieces); 1: all equally common"
        "joined piece_verified left"
    jain_ratio Run "1" false
        "Jain's index (sum x)^2 / (n sum x^2) of share_ratio over peers that came without everything"
        "block"
    jain_rate Run "1" false
        "Jain's index of download_rate"
        "joined complete"
    jain_seed_service Run "1" true
        "Jain's index of seed_bytes over peers that came without everything"
        "joined peer_connected block complete"
    clustering_index Run "1" true
        "time that leechers of the class served (unchoked while interested) its own class / that they served anybody"
        "joined peer_connected choke unchoke interested"
    clustering_index_bytes Run "1" true
        "the same by bytes"
        "joined peer_connected block"
    clustering_share Run "1" true
        "part of its own class among interested neighbours, by time: what clustering_index would be by chance"
        "joined peer_connected interested"
    stratification_distance Run "1" true
        "mean difference of rank by uplink over pairs of leechers that unchoke each other, weighted by time"
        "joined peer_connected choke unchoke"
    stratification_random Run "1" true
        "the same over all pairs of leechers: what stratification_distance would be by chance"
        "joined"
    reciprocation Run "1" true
        "bytes between leechers that unchoked each other / bytes between leechers"
        "joined peer_connected choke unchoke block"
    seed_share Run "1" true
        "bytes from peers that had everything / all bytes down"
        "joined peer_connected block complete"
    seed_copies Run "1" true
        "bytes up by peers that came with everything, until the first of the others finished / length of the content"
        "joined block complete"
    freerider_gain Run "1" false
        "median completion_time of peers whose class uploads / of peers whose class uploads nothing; unfinished peers count as slower than any; above 1: free riding pays"
        "joined block complete"
}

/// The metric of this name.
pub fn metric(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the document is made from the one here.
    fn rows() -> String {
        let row = |metric: &Metric| {
            let of = match metric.of {
                Of::Peer => "peer",
                Of::Time => "time",
                Of::Run => "run",
            };
            let swarm = if metric.swarm { "all peers" } else { "any log" };
            let Metric { name, unit, formula, events, .. } = metric;
            let events: Vec<String> = events.split(' ').map(|event| format!("`{event}`")).collect();
            format!(
                "| `{name}` | {unit} | {of} | {swarm} | {} | {} |\n",
                formula.replace('|', "\\|"),
                events.join(", ")
            )
        };
        METRICS.iter().map(row).collect()
    }

    #[test]
    fn the_document_has_every_metric_as_it_is() {
        let document = include_str!("../../../docs/metrics.md");
        assert!(document.contains(&rows()), "docs/metrics.md is to have these rows:\n{}", rows());
    }

    #[test]
    fn the_events_are_events_of_the_log() {
        let document = include_str!("../../../docs/events.md");
        for metric in METRICS {
            for event in metric.events.split(' ') {
                assert!(document.contains(&format!("### `{event}`\n")), "{}: {event}", metric.name);
            }
        }
    }
}
