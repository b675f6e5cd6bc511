//! A day with trackers good and bad: when each is asked, and what the user is told (RR-9 to RR-19, RR-21, RR-22).

use std::collections::BTreeMap;
use std::time::Duration;

use bt_api::{AnnounceEvent, AnnounceReply, Instant, TrackerError, TrackerErrorKind};
use bt_engine::Input;
use bt_engine::settings::{AnnounceSettings, Backoff};

use crate::announces::{addresses, announces, dial, dialled, patient_node};
use crate::common::solo::Solo;

const DAY: f64 = 86_400.0;
/// How long a good tracker takes to answer, in seconds.
const SOON: f64 = 0.25;

type Answer = Result<AnnounceReply, TrackerError>;

/// What came of a day.
struct Day {
    /// When the tracker was asked, in seconds.
    asked: Vec<f64>,
    /// When what the user is told changed, and to what.
    told: Vec<(f64, Option<String>)>,
    /// When somebody was dialled.
    dialled: Vec<f64>,
}

/// A day of a leecher with `peers` connections, whose tracker answers the announce of each number, made at this time, after
/// so many seconds. Whoever it names answers the dial.
fn day(settings: AnnounceSettings, peers: u8, tracker: impl Fn(usize, f64) -> (f64, Answer)) -> Day {
    let mut node = patient_node();
    node.settings.announce = settings;
    let mut solo = Solo::new(1, node);
    let mut out = std::mem::take(&mut solo.first);
    dial(&mut solo, 1, peers);
    let (mut asked, mut told, mut met) = (Vec::new(), Vec::new(), Vec::new());
    let mut answers: BTreeMap<(Instant, u64), Answer> = BTreeMap::new();
    loop {
        for (tag, announce) in announces(&out) {
            let now = solo.now.as_secs_f64();
            assert_eq!(announce.event, asked.is_empty().then_some(AnnounceEvent::Started));
            let (after, answer) = tracker(asked.len(), now);
            asked.push(now);
            answers.insert((solo.now + Duration::from_secs_f64(after), tag), answer);
        }
        for (peer, address) in dialled(&out) {
            met.push(solo.now.as_secs_f64());
            let std::net::IpAddr::V4(ip) = address.ip() else { continue };
            solo.handshake(peer, ip.octets()[3]);
        }
        let trouble = solo.engine.status(solo.now).tracker_trouble;
        if told.last().map_or(trouble.is_some(), |(_, last)| *last != trouble) {
            told.push((solo.now.as_secs_f64(), trouble));
        }
        let wakeup = solo.engine.next_wakeup().unwrap_or(Instant::NEVER);
        let answer = answers.first_entry().filter(|answer| answer.key().0 <= wakeup);
        let (at, input) = match answer {
            Some(answer) => {
                let ((at, tag), result) = answer.remove_entry();
                (at, Input::Announced { tag, result: result.map(Box::new) })
            }
            None => (wakeup, Input::Wakeup),
        };
        if at.as_secs_f64() > DAY {
            return Day { asked, told, dialled: met };
        }
        solo.now = solo.now.max(at);
        out = solo.feed(input);
    }
}

/// The rules of the original, with this back-off.
fn with(backoff: Backoff) -> AnnounceSettings {
    AnnounceSettings { backoff, ..AnnounceSettings::default() }
}

fn mainline() -> AnnounceSettings {
    with(Backoff::None)
}

fn good(reply: AnnounceReply) -> (f64, Answer) {
    (SOON, Ok(reply))
}

fn wrong(kind: TrackerErrorKind, message: &str) -> (f64, Answer) {
    (SOON, Err(TrackerError::new(kind, message)))
}

fn down() -> (f64, Answer) {
    wrong(TrackerErrorKind::Unreachable, "down")
}

/// Every `step` seconds from `first` to the end of the day.
fn every(step: f64, first: f64) -> Vec<f64> {
    (0..).map(|number| first + f64::from(number) * step).take_while(|at| *at <= DAY).collect()
}

fn said(times: &[(f64, Option<&str>)]) -> Vec<(f64, Option<String>)> {
    times.iter().map(|(at, text)| (*at, text.map(str::to_owned))).collect()
}

const LATE: &str = "the tracker did not answer in time";

#[test]
fn one_that_is_down_is_asked_at_every_check_and_named_once() {
    let down_all_day = day(mainline(), 0, |_, _| down());
    assert_eq!(down_all_day.asked, every(300.0, 0.0));
    assert_eq!(down_all_day.told, said(&[(SOON, Some("down"))]));
    // With enough peers, when the interval has passed (RR-10).
    let enough = day(mainline(), 20, |_, _| down());
    assert_eq!(enough.asked, every(2100.0, 0.0));
}

#[test]
fn one_that_is_slow_is_given_up_and_its_answers_are_dropped() {
    let peers = || AnnounceReply { peers: addresses(100, 5), ..AnnounceReply::default() };
    let slow = day(mainline(), 0, |_, _| (61.0, Ok(peers())));
    assert_eq!(slow.asked, every(300.0, 0.0));
    assert_eq!(slow.told, said(&[(60.0, Some(LATE))]));
    assert!(slow.dialled.is_empty());
    // Once it worked, one that is late is no news, and the next is (RR-14).
    let slows_down = day(mainline(), 0, |number, _| (if number == 0 { 59.0 } else { 61.0 }, Ok(peers())));
    assert_eq!(slows_down.told, said(&[(660.0, Some(LATE))]));
    assert_eq!(slows_down.dialled, [59.0; 5]);
}

#[test]
fn garbage_and_refusals_are_told_each_time_and_count_as_answers() {
    for (kind, text) in
        [(TrackerErrorKind::Malformed, "no bencoding"), (TrackerErrorKind::Refused, "go away")]
    {
        // A good answer, one of these, none at all.
        let mixed = day(mainline(), 0, |number, _| match number % 3 {
            0 => good(AnnounceReply::default()),
            1 => wrong(kind, text),
            _ => down(),
        });
        assert_eq!(mixed.asked, every(300.0, 0.0));
        // RR-16, RR-17: told at once, although the one before worked. The lost one that follows is no news.
        let rounds = every(900.0, 300.0 + SOON).into_iter();
        let expected = rounds.flat_map(|at| [(at, Some(text)), (at + 600.0, None)]);
        let expected: Vec<_> = expected.filter(|(at, _)| *at <= DAY).collect();
        assert_eq!(mixed.told, said(&expected));

        // Whatever interval had been named stays as it was.
        let always = day(mainline(), 20, |_, _| wrong(kind, text));
        assert_eq!(always.asked, every(2100.0, 0.0));
        assert_eq!(always.told, said(&[(SOON, Some(text))]));
    }
}

#[test]
fn an_interval_counts_while_there_are_enough_peers_and_only_at_checks() {
    let asked = |peers, seconds| {
        let interval = Some(Duration::from_secs(seconds));
        day(mainline(), peers, |_, _| good(AnnounceReply { interval, ..AnnounceReply::default() })).asked
    };
    assert_eq!(asked(20, 1), every(300.0, 0.0));
    // The check at 900 s is not past it.
    assert_eq!(asked(20, 900), every(1200.0, 0.0));
    assert_eq!(asked(20, 899), every(900.0, 0.0));
    assert_eq!(asked(20, u64::MAX), [0.0]);
    assert_eq!(asked(19, u64::MAX), every(300.0, 0.0));
}

#[test]
fn a_least_interval_sets_the_check_from_the_next_time_on() {
    let min = |seconds| AnnounceReply {
        min_interval: Some(Duration::from_secs(seconds)),
        ..AnnounceReply::default()
    };
    let asked = |seconds| day(mainline(), 0, |_, _| good(min(seconds))).asked;
    let first = |rest: Vec<f64>| [vec![0.0], rest].concat();
    assert_eq!(asked(120), first(every(120.0, 300.0)));
    assert_eq!(asked(1), first(every(1.0, 300.0)));
    assert_eq!(asked(u64::MAX), [0.0, 300.0]);
    // One that wants to be asked each second and does not answer is asked again when it is given up.
    let slow = day(mainline(), 0, |number, _| if number == 0 { good(min(1)) } else { (1e6, Ok(min(1))) });
    assert_eq!(slow.asked, first(every(60.0, 300.0)));
}

#[test]
fn one_that_comes_back_is_used_at_once_and_its_interval_holds() {
    let back = 3.0 * 3600.0;
    let peers = || AnnounceReply {
        peers: addresses(120, 30),
        interval: Some(Duration::from_secs(3600)),
        ..AnnounceReply::default()
    };
    let day = day(mainline(), 0, |_, at| if at < back { down() } else { good(peers()) });
    let before = every(300.0, 0.0).into_iter().filter(|at| *at < back);
    assert_eq!(day.asked, before.chain(every(3900.0, back)).collect::<Vec<_>>());
    assert_eq!(day.told, said(&[(SOON, Some("down")), (back + SOON, None)]));
    assert_eq!(day.dialled, [back + SOON; 30]);
}

/// The pauses after announces that end `after` seconds after they began.
fn pauses(asked: &[f64], after: f64) -> Vec<f64> {
    asked.windows(2).map(|pair| pair[1] - pair[0] - after).collect()
}

#[track_caller]
fn grows_from_50_seconds(pauses: &[f64], most: f64) {
    assert!((pauses[0] - 50.0).abs() < 1e-6, "{pauses:?}");
    for pair in pauses.windows(2) {
        let factor = pair[1] / pair[0];
        let at_most = (pair[1] - most).abs() < 1e-6;
        assert!(at_most || (1.4 - 1e-6..=1.6 + 1e-6).contains(&factor), "{pauses:?}");
        assert!(pair[1] < most + 1e-6 && (!at_most || factor < 1.6 + 1e-6), "{pauses:?}");
    }
}

#[test]
fn the_v4_back_off_grows_to_its_bound_and_no_check_cuts_it_short() {
    let down_all_day = day(with(Backoff::V4), 0, |_, _| down());
    let waited = pauses(&down_all_day.asked, SOON);
    grows_from_50_seconds(&waited, 1800.0);
    // Eight to eleven steps of 1.4 to 1.6 lead from 50 s to half an hour.
    let bounded = waited.iter().filter(|pause| (*pause - 1800.0).abs() < 1e-6).count();
    assert!((8..=11).contains(&(waited.len() - bounded)), "{waited:?}");
    assert!(bounded > 40);
    assert_eq!(down_all_day.told, said(&[(SOON, Some("down"))]));

    let short = AnnounceSettings {
        max_retry_interval: bt_api::config::Duration::secs(100),
        check_interval: bt_api::config::Duration::secs(60),
        ..with(Backoff::V4)
    };
    let waited = pauses(&day(short, 0, |_, _| (1e6, down().1)).asked, 60.0);
    grows_from_50_seconds(&waited, 100.0);
    assert!((waited[waited.len() - 1] - 100.0).abs() < 1e-6);
}

#[test]
fn the_v4_back_off_ends_with_an_answer_and_begins_anew() {
    // It answers the sixth time, and then at every check for an hour.
    let day = day(with(Backoff::V4), 0, |number, at| {
        if number == 5 || (7200.0..10_800.0).contains(&at) { good(AnnounceReply::default()) } else { down() }
    });
    let answered = day.asked[5];
    // The next comes at a check.
    assert_eq!(day.asked[6], (answered / 300.0).floor() * 300.0 + 300.0);
    grows_from_50_seconds(&pauses(&day.asked[6..9], SOON), 1800.0);
    let normal = day.asked.windows(2).filter(|pair| (7200.0..10_500.0).contains(&pair[0]));
    assert!(normal.clone().count() > 5);
    normal.skip(1).for_each(|pair| assert_eq!(pair[1] - pair[0], 300.0));
    let again: Vec<f64> = day.asked.iter().copied().filter(|at| *at >= 10_800.0).collect();
    grows_from_50_seconds(&pauses(&again, SOON), 1800.0);
}

#[test]
fn the_fixed_back_off_lasts_until_the_first_answer() {
    let day =
        day(
            with(Backoff::Fixed60),
            0,
            |number, _| {
                if number == 20 { good(AnnounceReply::default()) } else { down() }
            },
        );
    // RR-22: a minute after each failure, then at the checks.
    let first: Vec<f64> = (0..=20).map(|number| f64::from(number) * (60.0 + SOON)).collect();
    assert_eq!(day.asked, [first, every(300.0, 1500.0)].concat());
    assert_eq!(
        day.told,
        said(&[(SOON, Some("down")), (20.0 * (60.0 + SOON) + SOON, None), (1800.0 + SOON, Some("down"))])
    );
}
