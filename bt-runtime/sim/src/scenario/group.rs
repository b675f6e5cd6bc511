//! From a `[[peers]]` of a scenario's text to a checked [`Group`].

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bt_api::config::{Limit, Rate};
use bt_api::plugin::shown;
use bt_runtime::text::{Source, find};
use bt_runtime::{Profile, TextError};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::read::check_name;
use super::times::{arrivals, leaves, wait};
use super::{Arrivals, Content, Group, Have, Leaves, Run, Scenario, Until};
use crate::fields::{Fields, Value, only_key, read};
use crate::measure::OVERALL;

/// What is needed to read a group.
pub(super) struct Reader<'s> {
    pub(super) source: &'s Source<'s>,
    /// The folder that paths in the scenario count from.
    pub(super) folder: Option<&'s Path>,
    pub(super) content: &'s Content,
    pub(super) run: &'s Run,
}

impl<'s> Reader<'s> {
    /// One `[[peers]]`, and the place of its name.
    pub(super) fn group(&self, mut fields: Fields<'s, '_>) -> Result<(Group, Range<usize>), TextError> {
        let source = self.source;
        let span = fields.span.clone();
        let name = read::<String>(source, fields.needed("name", "what this class of peers is called")?)?;
        check_name(source, &name, "a group's name")?;
        if name.get_ref() == OVERALL {
            let message =
                format!("`{OVERALL}` is what all peers together are called: give the group another name");
            return Err(source.error(Some(name.span()), &message));
        }
        let count = fields.optional::<u32>("count")?;
        let counts = 1..=Scenario::MAX_PEERS;
        if let Some(count) = count.as_ref().filter(|count| !counts.contains(&u64::from(*count.get_ref()))) {
            let (most, found) = (counts.end(), count.get_ref());
            let message = format!("`count` must be from 1 to {most}, found {found}");
            return Err(source.error(Some(count.span()), &message));
        }
        let complete = fields.optional::<bool>("complete")?.is_some_and(Spanned::into_inner);
        let have = fields.take_entry("have");
        let (up, down) = (self.link(&mut fields, "up")?, self.link(&mut fields, "down")?);
        let arrives = match fields.take("arrives") {
            None => Arrivals::At(std::time::Duration::ZERO),
            Some(value) => {
                arrivals(source, self.folder, value, count.as_ref().map(|count| *count.get_ref()))?
            }
        };
        let count = self.count(count, &arrives, span)?;
        let leaving = fields.take("leaves");
        let leaving_span = leaving.as_ref().map(Spanned::span);
        let leaves = leaving.map(|value| leaves(source, value)).transpose()?;
        if complete && leaves == Some(Leaves::OnComplete) {
            let message = "these are `complete` when they arrive: `leaves` needs a time, such as { after = \"10 min\" }";
            return Err(source.error(leaving_span, message));
        }
        let abandons = fields.take_entry("abandons");
        if complete && let Some((key, _)) = have.as_ref().or(abandons.as_ref()) {
            let message =
                format!("`{}` is of peers that lack something, and these are `complete`", key.get_ref());
            return Err(source.error(Some(key.span()), &message));
        }
        let have = have.map_or(Ok(Have::Fraction(0.0)), |(_, value)| self.have(value))?;
        let what = "{ after = \"10 min\" } or { exponential = \"600 s\" }";
        let abandons = abandons.map(|(_, value)| wait(source, value, what)).transpose()?;
        let compared = fields.optional::<bool>("compared")?.map_or(!complete, Spanned::into_inner);
        let profile = Arc::new(self.profile(&mut fields, name.get_ref())?);
        fields.finish()?;
        // A trace may be longer than the count: its first arrivals are those that count.
        let arrives = match (arrives, count) {
            (Arrivals::Trace(mut times), Some(count)) => {
                times.truncate(count as usize);
                Arrivals::Trace(times)
            }
            (arrives, _) => arrives,
        };
        let leaves = leaves.unwrap_or(Leaves::Never);
        let name_span = name.span();
        let name = name.into_inner();
        let group =
            Group { name, count, complete, have, up, down, profile, arrives, leaves, abandons, compared };
        Ok((group, name_span))
    }

    /// How many arrive; `span` is the group's place.
    fn count(
        &self,
        count: Option<Spanned<u32>>,
        arrives: &Arrivals,
        span: Range<usize>,
    ) -> Result<Option<u32>, TextError> {
        let told = |span, message: String| Err(self.source.error(Some(span), &message));
        let given = count.as_ref().map(|count| *count.get_ref());
        match (arrives, count) {
            (Arrivals::Trace(times), None) => Ok(Some(times.len() as u32)),
            (Arrivals::Trace(times), Some(count)) if *count.get_ref() as usize > times.len() => told(
                count.span(),
                format!(
                    "`count` must not be above the {} arrivals of the trace, found {}",
                    times.len(),
                    count.get_ref()
                ),
            ),
            (Arrivals::At(_), None) => {
                told(span, "`count` is missing in [[peers]]: how many there are, such as 100".to_owned())
            }
            (Arrivals::Rate(_) | Arrivals::Poisson(_), None) if self.run.until == Until::AllComplete => told(
                span,
                "`count` is missing in [[peers]]: without it they go on arriving, so `run.until` must be a duration"
                    .to_owned(),
            ),
            _ => Ok(given),
        }
    }

    /// An access link in bytes per second.
    fn link(&self, fields: &mut Fields<'_, '_>, key: &'static str) -> Result<Option<u64>, TextError> {
        let value = fields.needed(key, "a rate such as \"400 kbit/s\", or \"unlimited\"")?;
        let limit = read::<Limit<Rate>>(self.source, value)?;
        match limit.get_ref() {
            Limit::Unlimited => Ok(None),
            Limit::At(Rate(0)) => {
                let message = format!("`{key}` must be at least 1 B/s, or \"unlimited\", found less");
                Err(self.source.error(Some(limit.span()), &message))
            }
            Limit::At(Rate(rate)) => Ok(Some(*rate)),
        }
    }

    /// `have = 0.3` or `{ missing = [17] }`.
    fn have(&self, value: Value<'_>) -> Result<Have, TextError> {
        let source = self.source;
        let (span, found) = (value.span(), shown(value.get_ref()));
        let what = "a part of the pieces such as 0.3, or { missing = [17] }";
        let part = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().replace('_', "").parse::<f64>().ok(),
            DeValue::Table(_) => {
                let (_, list) = only_key(source, value, what, &["missing"])?;
                return self.missing(list);
            }
            _ => {
                return Err(source.error(Some(span), &format!("expected {what}, found {found}")));
            }
        };
        // A NaN is in no range.
        part.filter(|part| (0.0..1.0).contains(part)).map(Have::Fraction).ok_or_else(|| {
            let message = format!(
                "`have` must be at least 0 and below 1 (who has everything is `complete = true`), found {found}"
            );
            source.error(Some(span), &message)
        })
    }

    fn missing(&self, list: Value<'_>) -> Result<Have, TextError> {
        let source = self.source;
        let list = read::<Vec<Spanned<u32>>>(source, list)?;
        let pieces = self.content.pieces();
        if list.get_ref().is_empty() {
            let message = "`missing` names no piece (who has everything is `complete = true`)";
            return Err(source.error(Some(list.span()), message));
        }
        if let Some(piece) = list.get_ref().iter().find(|piece| *piece.get_ref() >= pieces) {
            let message = format!("there is no piece {}: the last one is {}", piece.get_ref(), pieces - 1);
            return Err(source.error(Some(piece.span()), &message));
        }
        let mut missing: Vec<u32> = list.into_inner().into_iter().map(Spanned::into_inner).collect();
        missing.sort_unstable();
        missing.dedup();
        Ok(Have::Missing(missing))
    }

    /// What the group runs: `profile = "NAME"`, or a table with `use = "NAME"` and tables that override those of that
    /// profile, or one with all the tables of a profile; and over that the group's own tables.
    fn profile<'t>(&self, fields: &mut Fields<'s, 't>, group: &str) -> Result<Profile, TextError> {
        let source = self.source;
        let what = "what they run, such as \"mainline\"";
        let profile = fields.needed("profile", what)?;
        let place = profile.span();
        let expected = |span, found: &DeValue<'_>| {
            let message = format!("expected the name of a profile as a string, found {}", shown(found));
            source.error(Some(span), &message)
        };
        let (base, mut above) = match profile.into_inner() {
            DeValue::String(name) => (Some(Spanned::new(place.clone(), name)), DeTable::new()),
            DeValue::Table(mut tables) => {
                let base = tables.remove("use").map(|value| match (value.span(), value.into_inner()) {
                    (span, DeValue::String(name)) => Ok(Spanned::new(span, name)),
                    (span, other) => Err(expected(span, &other)),
                });
                (base.transpose()?, tables)
            }
            other => return Err(expected(place, &other)),
        };
        // What a profile that is written here in full is called.
        let name = match above.remove("name") {
            Some(name) if base.is_none() => read::<String>(source, name)?.into_inner(),
            Some(name) => {
                return Err(source.error(Some(name.span()), "a profile that has `use` is named by it"));
            }
            None => group.to_owned(),
        };
        let mut own = DeTable::new();
        for table in Profile::TABLES {
            if let Some((key, value)) = fields.take_entry(table) {
                self.refuse_idle(table, value.get_ref())?;
                own.insert(key, value);
            }
        }
        source.overlay(&mut above, own);
        let Some(base) = base else {
            return Profile::from_tables(&name, "", source, above, Some(place));
        };
        self.based_on(base, above)
    }

    /// Refuses a `--set` in a table of the kind `kind` that would change nothing.
    fn refuse_idle(&self, kind: &str, table: &DeValue<'_>) -> Result<(), TextError> {
        if kind != "storage" || self.content.payload {
            return Ok(());
        }
        let mut values = table.as_table().into_iter().flatten().map(|(_, value)| value.span());
        match values.find(|span| self.source.is_set(span)) {
            None => Ok(()),
            span => {
                let message = "stores take part only with `content.payload = true`";
                Err(self.source.error(span, message))
            }
        }
    }

    /// The profile `base` with the tables `above` over its own.
    fn based_on(&self, base: Spanned<DeString<'_>>, above: DeTable<'_>) -> Result<Profile, TextError> {
        let folder = self.folder.filter(|_| !self.source.is_set(&base.span()));
        let found = find("profile", base.get_ref(), folder, Profile::MAX_TEXT)
            .map_err(|why| self.source.error(Some(base.span()), &why))?;
        let source = self.source.with_file(&found.file, &found.text);
        let mut tables = source.parse()?;
        source.overlay(&mut tables, above);
        Profile::from_tables(&found.name, &found.text, &source, tables, None)
    }
}
