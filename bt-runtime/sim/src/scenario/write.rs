//! A scenario as TOML again, complete.

use bt_api::config;
use toml::{Table, Value};

use super::tracker::written_outages;
use super::{
    Announces, Arrivals, Granularity, Group, Have, Leaves, Model, Scenario, Tracker, Until, Wait, WarmUp,
};

impl Scenario {
    /// The effective scenario, complete: every key, with traces and profiles written in, so that it needs no other
    /// file. Loading it gives this scenario again.
    pub fn to_toml(&self) -> String {
        let until = match self.run.until {
            Until::AllComplete => "all-complete".into(),
            Until::After(time) => duration(time),
        };
        let warm_up = match self.run.warm_up {
            WarmUp::None => "none".into(),
            WarmUp::Auto => "auto".into(),
            WarmUp::For(time) => duration(time),
        };
        let model = match self.network.model {
            Model::MaxMin => "max-min",
        };
        let granularity = match self.network.granularity {
            Granularity::Block => "block",
            Granularity::Piece => "piece",
        };
        let peers: Vec<Value> = self.groups.iter().map(|group| group_table(group).into()).collect();
        let whole = table([
            ("name", self.name.clone().into()),
            (
                "content",
                table([
                    ("size", config::Size(self.content.size).to_string().into()),
                    ("piece", config::Size(self.content.piece.into()).to_string().into()),
                    ("coded", self.content.coded.into()),
                    ("payload", self.content.payload.into()),
                ])
                .into(),
            ),
            (
                "network",
                table([
                    ("model", model.into()),
                    ("delay", duration(self.network.delay)),
                    ("granularity", granularity.into()),
                ])
                .into(),
            ),
            ("tracker", tracker_table(&self.tracker).into()),
            (
                "run",
                table([
                    ("until", until),
                    ("limit", duration(self.run.limit)),
                    ("seed", i64::try_from(self.run.seed).unwrap_or(i64::MAX).into()),
                    ("warm-up", warm_up),
                ])
                .into(),
            ),
            ("peers", peers.into()),
        ]);
        toml::to_string(&whole).expect("tables are TOML")
    }
}

fn table<const N: usize>(keys: [(&str, Value); N]) -> Table {
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn duration(time: std::time::Duration) -> Value {
    config::Duration(time).to_string().into()
}

fn link(rate: Option<u64>) -> Value {
    let limit = rate.map_or(config::Limit::Unlimited, |rate| config::Limit::At(config::Rate(rate)));
    limit.to_string().into()
}

fn wait(wait: Wait) -> Value {
    let (key, time) = match wait {
        Wait::After(time) => ("after", time),
        Wait::Exponential(time) => ("exponential", time),
    };
    table([(key, duration(time))]).into()
}

/// Without the keys that have no value to be given.
fn tracker_table(tracker: &Tracker) -> Table {
    let mut keys = table([("reply", i64::from(tracker.reply).into())]);
    let url = match &tracker.announces {
        Announces::Directly => return keys,
        Announces::ToSources => "none".to_owned(),
        Announces::To(url) => url.to_string(),
    };
    keys.insert("url".to_owned(), url.into());
    if !tracker.down.is_empty() {
        keys.insert("down".to_owned(), written_outages(&tracker.down));
    }
    keys
}

fn group_table(group: &Group) -> Table {
    let mut keys = table([("name", group.name.clone().into())]);
    let mut put = |key: &str, value: Value| keys.insert(key.to_owned(), value);
    if let Some(count) = group.count {
        put("count", i64::from(count).into());
    }
    if group.complete {
        put("complete", true.into());
    } else {
        put(
            "have",
            match &group.have {
                Have::Fraction(part) => (*part).into(),
                Have::Missing(missing) => {
                    let missing: Vec<Value> = missing.iter().map(|&piece| i64::from(piece).into()).collect();
                    table([("missing", missing.into())]).into()
                }
            },
        );
    }
    put("up", link(group.up));
    put("down", link(group.down));
    put(
        "arrives",
        match &group.arrives {
            Arrivals::At(time) => table([("at", duration(*time))]),
            Arrivals::Rate(rate) => table([("rate", format!("{rate}/s").into())]),
            Arrivals::Poisson(rate) => table([("poisson", format!("{rate}/s").into())]),
            Arrivals::Trace(times) => {
                let times: Vec<Value> = times.iter().map(|&time| duration(time)).collect();
                table([("trace", times.into())])
            }
        }
        .into(),
    );
    put(
        "leaves",
        match group.leaves {
            Leaves::Never => "never".into(),
            Leaves::OnComplete => "on-complete".into(),
            Leaves::Later(time) => wait(time),
        },
    );
    if let Some(time) = group.abandons {
        put("abandons", wait(time));
    }
    if group.compared == group.complete {
        put("compared", group.compared.into());
    }
    let mut profile = table([("name", group.profile.name.clone().into())]);
    let tables: Table = group.profile.to_toml().parse().expect("a profile prints as TOML");
    profile.extend(tables);
    put("profile", profile.into());
    keys
}
