//! Tracker clients in simulated swarms: the shipped one, and those of [`clients`](super::clients).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use bt_api::Instant;
use bt_engine::Event;
use bt_sim::{Ended, Observer, Outcome, Scenario, simulate};

use super::hash;

/// A seed and five leechers, whose announces go as `TRACKER` says.
const SWARM: &str = r#"
[content]
size = "1000 KiB"
piece = "64 KiB"
[network]
delay = "50 ms"
[tracker]
TRACKER
[[peers]]
name = "seed"
count = 1
complete = true
up = "4 Mbit/s"
down = "unlimited"
profile = "mainline"
[[peers]]
name = "leecher"
count = 5
up = "1 Mbit/s"
down = "4 Mbit/s"
profile = "mainline"
leaves = { after = "1 min" }
"#;

const URL: &str = "http://tracker.lab/announce";
const HTTP: &str = "url = 'http://tracker.lab/announce'\nreply = 3";

fn scenario(tracker: &str, more: &str, sets: &[&str]) -> Scenario {
    let text = format!("{}{more}", SWARM.replace("TRACKER", tracker));
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    Scenario::from_text("announcing", &text, &sets).unwrap_or_else(|error| panic!("{error}"))
}

/// What tests look at.
#[derive(Default)]
struct Heard {
    complete: BTreeSet<u32>,
    /// When, by whom, of whom, and with which event.
    asked: Vec<(Instant, u32, String, Option<String>)>,
    /// When, to whom, by whom, how many peers, and what went wrong.
    answered: Vec<(Instant, u32, String, usize, Option<String>)>,
    warnings: Vec<String>,
    dialled: Vec<(u32, SocketAddr)>,
}

impl Observer for Heard {
    fn event(&mut self, now: Instant, node: u32, event: &Event) {
        match event {
            Event::Complete { .. } => _ = self.complete.insert(node),
            Event::Announce { target, event, .. } => {
                self.asked.push((now, node, target.clone(), event.as_ref().map(ToString::to_string)));
            }
            Event::AnnounceReply(reply) => {
                self.answered.push((now, node, reply.target.clone(), reply.peers, reply.error.clone()));
                self.warnings.extend(reply.warning.clone());
            }
            Event::Dial { addr, .. } => self.dialled.push((node, *addr)),
            _ => {}
        }
    }
}

impl Heard {
    fn errors(&self) -> Vec<&str> {
        self.answered.iter().filter_map(|(.., error)| error.as_deref()).collect()
    }
}

fn run(scenario: &Scenario) -> (Outcome, Heard) {
    let mut heard = Heard::default();
    let outcome = simulate(scenario, 1, &mut heard).unwrap_or_else(|error| panic!("{error}"));
    (outcome, heard)
}

fn millis(from: Instant, to: Instant) -> u128 {
    (to - from).as_millis()
}

#[test]
fn the_shipped_client_announces_over_http_in_simulated_time() {
    let (outcome, heard) = run(&scenario(HTTP, "", &["run.until=4 min"]));
    assert_eq!((outcome.ended, heard.complete.len(), heard.errors().len()), (Ended::Done, 5, 0));
    let of = |event: &str| heard.asked.iter().filter(|(.., of)| of.as_deref() == Some(event)).count();
    // Leechers are done, and leave a minute later; the seed stays.
    assert_eq!((of("started"), of("completed"), of("stopped")), (6, 5, 5));
    assert!(heard.asked.iter().all(|(_, _, target, _)| target == URL));
    assert_eq!(heard.answered.len(), 16);
    // To connect and to ask takes four delays.
    let (asked, answered) = (heard.asked[0].0, heard.answered[0].0);
    assert_eq!(millis(asked, answered), 200);
    let http = scenario(HTTP, "", &[]);
    assert_eq!(hash(&http), hash(&http));
    assert_ne!(hash(&http), hash(&scenario("reply = 3", "", &[])));
}

#[test]
fn who_is_named_is_the_same_with_and_without_clients() {
    let first = |tracker: &str, sets: &[&str]| {
        let (_, heard) = run(&scenario(tracker, "", sets));
        let named: Vec<usize> = heard.answered.iter().take(6).map(|(.., peers, _)| *peers).collect();
        let of_last = heard.dialled.iter().filter(|(node, _)| *node == 5).map(|(_, address)| *address);
        (named, of_last.take(3).collect::<Vec<_>>())
    };
    let straight = first("reply = 3", &[]);
    assert_eq!((&straight.0[..], straight.1.len()), (&[0, 1, 2, 3, 3, 3][..], 3));
    assert_eq!(first(HTTP, &[]), straight);
    // A list of dictionaries with peer ids says the same.
    let sets = ["seed", "leecher"].map(|group| format!("peers.{group}.announce.compact=false"));
    assert_eq!(first(HTTP, &[&sets[0], &sets[1]]), straight);
}

/// Its own order and pauses: the first port refuses at once, the second takes the announce; later it begins with that.
#[test]
fn a_client_of_ones_own_tries_again_in_simulated_time() {
    let client = "{ use = ['stubborn', 'http'], stubborn = { ports = [81, 80], pause = '3 s' } }";
    let set = format!("peers.leecher.tracker={client}");
    let own = scenario(HTTP, "", &[&set]);
    let (outcome, heard) = run(&own);
    assert_eq!((outcome.ended, heard.complete.len(), heard.errors().len()), (Ended::Done, 5, 0));
    let took = |event: &str| {
        let asked = heard.asked.iter().find(|(_, node, _, of)| *node == 1 && of.as_deref() == Some(event));
        let asked = asked.expect("it announced").0;
        let answered = heard.answered.iter().find(|(at, node, ..)| *node == 1 && *at > asked);
        millis(asked, answered.expect("it was answered").0)
    };
    // Refused after two delays, three seconds, then four delays.
    assert_eq!((took("started"), took("completed")), (3300, 200));
    assert_eq!(hash(&own), hash(&own));
}

#[test]
fn what_goes_wrong_is_in_the_log_as_in_that_of_a_real_run() {
    let wrong = "peers.leecher.tracker={ use = 'stubborn', stubborn = { ports = [80], wrong = 7 } }";
    let (_, heard) = run(&scenario(HTTP, "", &[wrong, "run.until=1 min"]));
    let refused = "38:the tracker does not know this torrente";
    assert_eq!((heard.complete.len(), heard.errors()), (0, vec![refused; 5]));

    let lost = "peers.leecher.tracker={ use = 'stubborn', stubborn = { ports = [99] } }";
    let (_, heard) = run(&scenario(HTTP, "", &[lost, "run.until=1 min"]));
    let nobody = "port 99: in this simulation nobody takes connections at tracker.lab:99";
    assert_eq!(heard.errors(), [nobody; 5]);
}

#[test]
fn a_tracker_that_is_down_is_asked_again_until_it_is_there() {
    let tracker = format!("{HTTP}\ndown = ['0 s..90 s']");
    let sets = ["seed", "leecher"].map(|group| format!("peers.{group}.announce.backoff=v4"));
    let (outcome, heard) = run(&scenario(&tracker, "", &[&sets[0], &sets[1]]));
    assert_eq!((outcome.ended, heard.complete.len()), (Ended::Done, 5));
    let errors = heard.errors();
    // At the start and after the first pause of 50 s, but not after the second.
    assert_eq!(errors.len(), 12);
    let down = "cannot connect to tracker.lab: in this simulation nobody takes connections at tracker.lab:80";
    assert!(errors.iter().all(|error| *error == down), "{errors:?}");
    let first = heard.answered.iter().find(|(.., error)| error.is_none()).unwrap().0;
    assert!((Instant::from_secs(115)..Instant::from_secs(135)).contains(&first), "{first:?}");
}

#[test]
fn a_client_that_panics_ends_the_run_and_is_named() {
    for (at, fault) in [("announce", "panic"), ("announce", "panic-at-once"), ("unasked", "panic")] {
        let ill = format!(
            "[[peers]]\nname = 'ill'\ncount = 1\nup = '1 Mbit/s'\ndown = '1 Mbit/s'\nprofile = 'mainline'\n\
             tracker = {{ use = ['http', 'odd'], odd = {{ at = {{ {at} = '{fault}' }} }} }}\nabandons = {{ after = '1 min' }}\n"
        );
        let error = simulate(&scenario(HTTP, &ill, &[]), 1, &mut Heard::default()).unwrap_err().to_string();
        let told = format!(" at 0 s: the tracker client odd panicked: broken at {at}");
        assert!(error.ends_with(&told) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn udp_trackers_take_part_too() {
    let by = |client: &str| {
        let sets = ["seed", "leecher"].map(|group| format!("peers.{group}.tracker={{ use = '{client}' }}"));
        let udp = scenario("url = 'udp://tracker.lab:6969'", "", &[&sets[0], &sets[1], "run.until=50 s"]);
        let (outcome, heard) = run(&udp);
        assert_eq!((outcome.ended, heard.complete.len(), heard.errors().len()), (Ended::Done, 5, 0));
        assert_eq!(hash(&udp), hash(&udp));
        heard
    };
    let shipped = by("udp");
    // To connect and to ask takes four delays, as over HTTP.
    assert_eq!(millis(shipped.asked[0].0, shipped.answered[0].0), 200);
    let heard = by("small-udp");
    assert_eq!(shipped.answered.len(), heard.answered.len());
    // Seeds, completed, others; nothing of a torrent that is unknown.
    let counts = |seeds, completed, others| {
        let words: [u32; 6] = [seeds, completed, others, 0, 0, 0];
        format!("{:?}", words.map(u32::to_be_bytes).concat())
    };
    assert!(heard.warnings.contains(&counts(1, 0, 5)), "{:?}", heard.warnings);
    assert_eq!(heard.warnings.last(), Some(&counts(6, 5, 0)));
}

#[test]
fn sources_without_a_url_are_asked_where_there_is_no_tracker() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("peers.txt");
    std::fs::write(&file, "10.0.0.0:6881 # the seed\n").unwrap();
    let source = format!("{{ use = 'peer-file', peer-file = {{ path = '{}' }} }}", file.display());
    let by_file = scenario("url = 'none'", "", &[&format!("peers.leecher.tracker={source}")]);
    let (outcome, heard) = run(&by_file);
    assert_eq!((outcome.ended, heard.complete.len(), heard.errors().len()), (Ended::Done, 5, 0));
    assert!(heard.asked.iter().all(|(_, node, target, _)| *node > 0 && target == "peer-file"));

    // One that speaks up by itself, over datagrams between peers.
    let sets = ["seed", "leecher"].map(|group| format!("peers.{group}.tracker={{ use = 'grapevine' }}"));
    let by_word = scenario("url = 'none'", "", &[&sets[0], &sets[1]]);
    let (outcome, heard) = run(&by_word);
    assert_eq!((outcome.ended, heard.complete.len(), heard.errors().len()), (Ended::Done, 5, 0));
    let told: Vec<usize> =
        heard.answered.iter().map(|(.., peers, _)| *peers).filter(|&peers| peers > 0).collect();
    assert_eq!(told, [1, 2, 3, 4, 5]);
    assert_eq!(hash(&by_word), hash(&by_word));
}

#[test]
fn clients_and_stores_take_part_in_one_run() {
    let sets = [
        "content.payload=true",
        "peers.leecher.storage={ use = 'memory' }",
        "peers.seed.storage={ use = 'memory' }",
    ];
    let both = scenario(HTTP, "", &sets);
    let (outcome, heard) = run(&both);
    assert_eq!((outcome.ended, heard.complete.len(), heard.errors().len()), (Ended::Done, 5, 0));
    assert_eq!(hash(&both), hash(&both));
}

#[test]
fn a_scheme_that_no_client_serves_is_told_when_the_scenario_is_loaded() {
    let text = SWARM.replace("TRACKER", "url = 'udp://tracker.lab:6969'");
    let set = "peers.leecher.tracker={ use = ['http', 'stubborn'] }".to_owned();
    assert_eq!(
        Scenario::from_text("announcing", &text, &[set, "peers.seed.tracker.use=small-udp".to_owned()])
            .unwrap_err()
            .to_string(),
        "announcing.toml:8:7: no tracker client of the profile of `leecher` serves `udp` URLs: its [tracker] uses \
         http, stubborn"
    );
    // So is a profile that is put in place of another.
    let sets = ["seed", "leecher"].map(|group| format!("peers.{group}.tracker={{ use = 'small-udp' }}"));
    let udp = scenario("url = 'udp://tracker.lab:6969'", "", &[&sets[0], &sets[1]]);
    assert_eq!(
        udp.with_profile("mainline", |group| !group.complete).unwrap_err().to_string(),
        "no tracker client of the profile of `leecher` serves `udp` URLs: its [tracker] uses http"
    );
}
