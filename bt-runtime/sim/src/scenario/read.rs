//! From a scenario's text to a checked [`Scenario`].

use std::ops::Range;

use bt_api::config::{self, Size};
use bt_api::plugin::shown;
use bt_runtime::TextError;
use bt_runtime::text::{Found, Source};
use toml::Spanned;
use toml::de::DeValue;

use super::group::Reader;
use super::times::{duration, duration_or_zero, some_time};
use super::tracker::{lacks_client, tracker};
use super::{Arrivals, Content, Granularity, Group, Have, Model, Network, Run, Scenario, Until, WarmUp};
use crate::fields::{Fields, Value, choice, read};

/// The longest name of a scenario or a group: it may become a file's name.
const MAX_NAME: usize = 100;

pub(super) fn scenario(found: &Found, sets: &[String]) -> Result<Scenario, TextError> {
    let source = Source::new(&found.file, &found.text, sets, "peers.leecher.count=100")?;
    let mut fields = Fields::new(&source, "a scenario", 0..0, source.tables()?);
    let name = fields.optional::<String>("name")?;
    let content = content(fields.table("content")?)?;
    let (network, delay_span) = network(fields.table("network")?)?;
    let (tracker, url_span) = tracker(fields.table("tracker")?)?;
    let (mut run, warm_up) = run(fields.table("run")?)?;
    let peers = fields.take("peers");
    fields.finish()?;
    if let Some(name) = &name {
        check_name(&source, name, "a scenario's name")?;
    }

    let groups = match peers {
        None => Vec::new(),
        Some(peers) => match (peers.span(), peers.into_inner()) {
            (_, DeValue::Array(groups)) => groups.into_iter().collect(),
            (span, other) => {
                let message = format!(
                    "expected groups of peers, each begun by the line [[peers]], found {}",
                    shown(&other)
                );
                return Err(source.error(Some(span), &message));
            }
        },
    };
    if groups.is_empty() {
        return Err(source.error(None, "[[peers]] is missing: it says who takes part"));
    }
    let mut read: Vec<(Group, Range<usize>)> = Vec::new();
    for value in groups {
        let span = value.span();
        let (group, name_span) =
            Reader { source: &source, folder: found.folder.as_deref(), content: &content, run: &run }
                .group(Fields::of(&source, "[[peers]]", value)?)?;
        if read.iter().any(|(other, _)| other.name == group.name) {
            let message = format!("two groups of peers are named `{}`", group.name);
            return Err(source.error(Some(name_span), &message));
        }
        read.push((group, span));
    }
    check_whole(&source, &content, &run, &read)?;
    check_delay(&source, &network, delay_span, &read)?;
    let groups: Vec<Group> = read.into_iter().map(|(group, _)| group).collect();
    if let Some(message) = lacks_client(&tracker, &groups) {
        return Err(source.error(url_span, &message));
    }
    // Where peers go on arriving the swarm fills up first.
    let is_open = groups.iter().any(|group| group.count.is_none());
    run.warm_up = warm_up.unwrap_or(if is_open { WarmUp::Auto } else { WarmUp::None });
    let name = name.map_or_else(|| as_name(&found.name), Spanned::into_inner);
    Ok(Scenario { name, content, network, tracker, run, groups })
}

/// A name that can be part of a file's name, of a dotted path and of a table for machines.
pub(super) fn check_name(source: &Source<'_>, name: &Spanned<String>, what: &str) -> Result<(), TextError> {
    let text = name.get_ref();
    if *text == as_name(text) {
        return Ok(());
    }
    let message =
        format!("{what} has letters from a to z, digits, `-` and `_`, at most {MAX_NAME}, found {text:?}");
    Err(source.error(Some(name.span()), &message))
}

/// A file's name as that of a scenario.
fn as_name(file: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name: String = file.chars().take(MAX_NAME).map(|c| if allowed(c) { c } else { '-' }).collect();
    if name.is_empty() { "scenario".to_owned() } else { name }
}

fn content(mut fields: Fields<'_, '_>) -> Result<Content, TextError> {
    let source = fields.source;
    let size = fields.needed("size", "the length of what is downloaded, such as \"100 MiB\"")?;
    let size = read::<Size>(source, size)?;
    let piece = fields.needed("piece", "the length of a piece, such as \"256 KiB\"")?;
    let piece = read::<Size>(source, piece)?;
    let coded = fields.optional::<bool>("coded")?;
    let payload = fields.optional::<bool>("payload")?;
    fields.finish()?;
    let (Size(length), Size(piece_length)) = (*size.get_ref(), *piece.get_ref());
    if length == 0 {
        return Err(source.error(Some(size.span()), "`size` must be at least 1 B, found 0 B"));
    }
    if !(1..=Scenario::MAX_PIECE).contains(&piece_length) {
        let message = format!(
            "`piece` must be from \"1 B\" to \"{}\", found \"{}\"",
            Size(Scenario::MAX_PIECE),
            Size(piece_length)
        );
        return Err(source.error(Some(piece.span()), &message));
    }
    let pieces = length.div_ceil(piece_length);
    if pieces > Scenario::MAX_PIECES {
        let least = Size(length.div_ceil(Scenario::MAX_PIECES));
        let message = format!(
            "{pieces} pieces are more than the {} that are allowed: `piece` must be at least \"{least}\"",
            Scenario::MAX_PIECES
        );
        return Err(source.error(Some(piece.span()), &message));
    }
    let piece = piece_length as u32;
    if let Some(coded) = coded.as_ref().filter(|coded| *coded.get_ref())
        && length % piece_length != 0
    {
        let message = "pieces that are combined are equally long: with `coded = true`, `size` must be a multiple of `piece`";
        return Err(source.error(Some(coded.span()), message));
    }
    let is_coded = coded.is_some_and(Spanned::into_inner);
    if let Some(payload) = payload.as_ref().filter(|payload| is_coded && *payload.get_ref()) {
        let message = "coded content has no bytes to store: with `coded = true`, `payload` must be false";
        return Err(source.error(Some(payload.span()), message));
    }
    Ok(Content { size: length, piece, coded: is_coded, payload: payload.is_some_and(Spanned::into_inner) })
}

/// The network, and the place of its delay.
fn network(mut fields: Fields<'_, '_>) -> Result<(Network, Option<Range<usize>>), TextError> {
    let source = fields.source;
    let model = fields.take("model").map(|value| choice(source, &value, &[("max-min", Model::MaxMin)]));
    let delay = fields.take("delay");
    let span = delay.as_ref().map(Spanned::span);
    let delay = delay.map(|value| duration_or_zero(source, value));
    let granularities = [("block", Granularity::Block), ("piece", Granularity::Piece)];
    let granularity = fields.take("granularity").map(|value| choice(source, &value, &granularities));
    fields.finish()?;
    let network = Network {
        model: model.transpose()?.unwrap_or(Model::MaxMin),
        delay: delay.transpose()?.unwrap_or(std::time::Duration::from_millis(50)),
        granularity: granularity.transpose()?.unwrap_or(Granularity::Block),
    };
    Ok((network, span))
}

/// That peers have the time to connect: to be asked, to answer, and a handshake each way.
fn check_delay(
    source: &Source<'_>,
    network: &Network,
    span: Option<Range<usize>>,
    groups: &[(Group, Range<usize>)],
) -> Result<(), TextError> {
    const DELAYS: u32 = 4;
    let least = groups.iter().map(|(group, _)| group.profile.settings.peers.handshake_timeout.get()).min();
    let Some(least) = least.filter(|&least| network.delay >= least / DELAYS) else { return Ok(()) };
    let [delay, least, most] = [network.delay, least, least / DELAYS].map(config::Duration);
    let message = format!(
        "`delay` must be below \"{most}\", found \"{delay}\": a connection takes four times as long, and is given up \
         after `peers.handshake-timeout`, here \"{least}\""
    );
    Err(source.error(span, &message))
}

/// The run, and its warm-up if the text has one.
fn run(mut fields: Fields<'_, '_>) -> Result<(Run, Option<WarmUp>), TextError> {
    let source = fields.source;
    let limit = fields.take("limit").map(|value| some_time(source, "limit", value)).transpose()?;
    let limit = limit.unwrap_or(std::time::Duration::from_secs(7 * 86400));
    let until = match fields.take("until") {
        None => Until::AllComplete,
        Some(value) if value.get_ref().as_str() == Some("all-complete") => Until::AllComplete,
        Some(value) => {
            let (span, found) = (value.span(), shown(value.get_ref()));
            let Ok(time) = duration(source, value) else {
                let message =
                    format!("expected \"all-complete\", or a duration such as \"2 h\", found {found}");
                return Err(source.error(Some(span), &message));
            };
            if time.is_zero() || time > limit {
                let limit = config::Duration(limit);
                let message = format!(
                    "`until` must be more than 0 and not above `limit`, which is \"{limit}\", found {found}"
                );
                return Err(source.error(Some(span), &message));
            }
            Until::After(time)
        }
    };
    let seed = fields.optional::<u64>("seed")?;
    let warm_up = fields.take("warm-up").map(|value| warm_up(source, value, until)).transpose()?;
    fields.finish()?;
    if let Some(seed) = seed.as_ref().filter(|seed| *seed.get_ref() > Scenario::MAX_SEED) {
        let message = format!("`seed` must be at most {}, found {}", Scenario::MAX_SEED, seed.get_ref());
        return Err(source.error(Some(seed.span()), &message));
    }
    let seed = seed.map_or(1, Spanned::into_inner);
    Ok((Run { until, limit, seed, warm_up: WarmUp::None }, warm_up))
}

/// `"auto"`, `"none"` or a duration.
fn warm_up(source: &Source<'_>, value: Value<'_>, until: Until) -> Result<WarmUp, TextError> {
    let (span, found) = (value.span(), shown(value.get_ref()));
    let wrong = |message: String| Err(source.error(Some(span.clone()), &message));
    let warm_up = match value.get_ref().as_str() {
        Some("none") => return Ok(WarmUp::None),
        Some("auto") => WarmUp::Auto,
        _ => match duration(source, value) {
            Ok(time) => WarmUp::For(time),
            Err(_) => {
                return wrong(format!(
                    "expected \"auto\", \"none\", or a duration such as \"30 min\", found {found}"
                ));
            }
        },
    };
    match (until, warm_up) {
        (Until::AllComplete, _) => wrong(format!(
            "a run until all are complete has no steady state: `warm-up` must be \"none\", or `until` a duration, found {found}"
        )),
        (Until::After(end), WarmUp::For(time)) if time >= end => wrong(format!(
            "`warm-up` must be shorter than `until`, which is \"{}\", found {found}",
            config::Duration(end)
        )),
        _ => Ok(warm_up),
    }
}

/// What no group can say alone: how many there are in all, and that the content can come from somewhere.
fn check_whole(
    source: &Source<'_>,
    content: &Content,
    run: &Run,
    groups: &[(Group, Range<usize>)],
) -> Result<(), TextError> {
    let mut peers = 0.0;
    for (group, span) in groups {
        peers += match (group.count, &group.arrives, run.until) {
            (Some(count), ..) => f64::from(count),
            (None, Arrivals::Rate(rate) | Arrivals::Poisson(rate), Until::After(time)) => {
                rate * time.as_secs_f64()
            }
            _ => 0.0,
        };
        if peers > Scenario::MAX_PEERS as f64 {
            let message = format!("more than {} peers take part", Scenario::MAX_PEERS);
            return Err(source.error(Some(span.clone()), &message));
        }
    }
    if content.coded {
        let part = |group: &Group| !group.complete && !matches!(group.have, Have::Fraction(0.0));
        if let Some((_, span)) = groups.iter().find(|(group, _)| part(group)) {
            let message =
                "of coded content peers come with everything or with nothing: `have` is not allowed here";
            return Err(source.error(Some(span.clone()), message));
        }
    }
    let groups = || groups.iter().map(|(group, _)| group);
    let some = |group: &Group| matches!(group.have, Have::Fraction(part) if part > 0.0);
    if groups().any(|group| group.complete || some(group)) {
        return Ok(());
    }
    let lacks = |piece: u32, group: &Group| match &group.have {
        Have::Fraction(_) => true,
        Have::Missing(missing) => missing.binary_search(&piece).is_ok(),
    };
    if let Some(piece) = (0..content.pieces()).find(|&piece| groups().all(|group| lacks(piece, group))) {
        let message = format!(
            "nobody ever has piece {piece}: a group must be `complete = true`, or `have` a part of the pieces"
        );
        return Err(source.error(None, &message));
    }
    Ok(())
}
