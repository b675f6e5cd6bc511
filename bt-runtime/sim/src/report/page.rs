//! The whole page.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::figures::Figure;
use super::read::Study;
use super::text::{Unit, escape, escape_lines, number};
use super::{facts, svg, tables};
use crate::measure::{Cut, Rule};
use crate::output::Machine;

const STYLE: &str = include_str!("page.css");

/// The page about `study`.
pub(super) fn page(study: &Study, figures: &[Figure]) -> String {
    let name = title(study);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{name}: report</title>\n<style>\n{}{STYLE}</style>\n</head>\n<body>\n<main>\n",
        svg::style()
    );
    let _ = writeln!(html, "<header>\n<h1>{name}</h1>\n<p class=\"what\">{}</p>", what(study));
    let compared =
        if study.comparison.is_some() { "<a href=\"#differences-table\">Differences</a> " } else { "" };
    let _ = writeln!(
        html,
        "<nav aria-label=\"Sections\"><a href=\"#plots\">Plots</a> {compared}<a href=\"#metrics\">All metrics</a> \
         <a href=\"#run\">What was run</a></nav>\n</header>"
    );
    html += &summary(study);
    html += "<section id=\"plots\" aria-label=\"Plots\">\n<div class=\"figures\">\n";
    figures.iter().for_each(|figure| html += &figure_html(figure));
    html += "</div>\n</section>\n";
    if let Some(comparison) = &study.comparison {
        let table = tables::comparison(comparison);
        let _ = writeln!(html, "<section id=\"differences-table\">\n<h2>Differences</h2>\n{table}</section>");
    }
    let _ = writeln!(
        html,
        "<section id=\"metrics\">\n<h2>All metrics</h2>\n{}{}</section>",
        tables::metrics(study),
        tables::definitions(study)
    );
    html += &run(study);
    html + "</main>\n</body>\n</html>\n"
}

fn title(study: &Study) -> String {
    let name = study.runs().next().map_or("Swarm", |run| &run.manifest.scenario.name);
    match &study.comparison {
        Some(_) => format!("{}: {}", escape(name), list(&profiles(study))),
        None => escape(name),
    }
}

/// Names as a sentence has them.
fn list(names: &[String]) -> String {
    match names {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => names.concat(),
    }
}

/// The names of what is compared, else the profiles that took part; escaped.
fn profiles(study: &Study) -> Vec<String> {
    if study.groups.len() > 1 {
        return study.groups.iter().map(|group| escape(&group.name)).collect();
    }
    let Some(run) = study.runs().next() else { return Vec::new() };
    let mut names: Vec<String> = run.manifest.profiles.values().map(|name| escape(name)).collect();
    names.sort();
    names.dedup();
    names
}

fn seeds(study: &Study) -> Vec<u64> {
    let mut seeds: Vec<u64> = study.runs().map(|run| run.manifest.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

/// Numbers as ranges: `1..30, 40`.
fn ranges(numbers: &[u64]) -> String {
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match parts.last_mut() {
            Some(last) if last.1 + 1 == number => last.1 = number,
            _ => parts.push((number, number)),
        }
    }
    let text = |(first, last): &(u64, u64)| {
        if first == last { first.to_string() } else { format!("{first}..{last}") }
    };
    parts.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// One line below the title.
fn what(study: &Study) -> String {
    let Some(run) = study.runs().next() else { return String::new() };
    let classes = study.classes().into_iter().map(|class| {
        let count = run.peers.iter().filter(|peer| peer.class == class).count();
        format!("{count} × {}", escape(class))
    });
    let mut parts = vec![classes.collect::<Vec<_>>().join(", ")];
    match (study.groups.len(), profiles(study)) {
        (1, profiles) if !profiles.is_empty() => parts.push(format!("profile {}", profiles.join(", "))),
        (1, _) => {}
        (count, _) if study.comparison.is_some() => parts.push(format!("{count} profiles")),
        (count, _) => parts.push(format!("{count} cells")),
    }
    if let Some(end) = study.warm_up() {
        parts.push(format!("after a warm-up of {}", Unit::Seconds.write(end)));
    }
    match &*seeds(study) {
        [] => {}
        [seed] => parts.push(format!("seed {seed}")),
        seeds => parts.push(format!("seeds {}", ranges(seeds))),
    }
    parts.join(" · ")
}

fn summary(study: &Study) -> String {
    let mut html = String::from("<section class=\"summary\" aria-label=\"Key figures\">\n");
    if let Some(comparison) = &study.comparison {
        html += "<ul class=\"verdicts\">\n";
        for verdict in facts::verdicts(study, comparison) {
            let _ = writeln!(html, "<li>{verdict}</li>");
        }
        html += "</ul>\n";
    }
    if study.groups.len() == 1 {
        html += "<dl class=\"facts\">\n";
        for fact in facts::facts(study) {
            let (value, note) = (escape(&fact.value), escape(&fact.note));
            let _ = writeln!(
                html,
                "<div><dt>{}</dt><dd><b>{value}</b><small>{note}</small></dd></div>",
                fact.label
            );
        }
        html += "</dl>\n";
    }
    html + "</section>\n"
}

impl Figure {
    /// For those who cannot see the plot: what it is and where its figures are.
    pub(super) fn description(&self) -> String {
        format!("{} The figures are in plots/{}.csv.", self.caption, self.name)
    }
}

fn figure_html(figure: &Figure) -> String {
    let name = escape(&figure.name);
    let class = if figure.wide { " class=\"wide\"" } else { "" };
    let svg = figure.plot.draw().inline(&name, &figure.title, &figure.description());
    format!(
        "<figure{class} id=\"{name}\">\n<h2>{}</h2>\n{svg}<figcaption>{} <span class=\"files\"><a \
         href=\"plots/{name}.svg\">SVG</a> <a href=\"plots/{name}.csv\">CSV</a> <a \
         href=\"plots/{name}.gp\">gnuplot</a></span></figcaption>\n</figure>\n",
        escape(&figure.title),
        escape(&figure.caption),
    )
}

/// What was run, and how to run it again.
fn run(study: &Study) -> String {
    let mut html = String::from("<section id=\"run\">\n<h2>What was run</h2>\n<dl class=\"run\">\n");
    let mut row = |label: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(html, "<div><dt>{label}</dt><dd>{value}</dd></div>");
        }
    };
    let Some(first) = study.runs().next() else { return String::new() };
    let manifest = &first.manifest;
    row("Scenario", escape(&manifest.scenario.name));
    row(if study.groups.len() > 1 { "Compared" } else { "Profiles" }, profiles(study).join(", "));
    row("Seeds", ranges(&seeds(study)));
    row(
        "Set",
        manifest.sets.iter().map(|set| format!("<code>{}</code>", escape(set))).collect::<Vec<_>>().join(" "),
    );
    match (&first.summary.warm_up, study.runs().count()) {
        (Some(cut), 1) => row("Warm-up", escape(&cut.to_string())),
        (Some(_), _) => row("Warm-up", warm_ups(study)),
        (None, _) => {}
    }
    row("Versions", pairs(&manifest.versions));
    if study.runs().count() == 1 {
        row(
            "Events (SHA-256)",
            manifest
                .events_sha256
                .as_deref()
                .map(|hash| format!("<code>{}</code>", escape(hash)))
                .unwrap_or_default(),
        );
    }
    let command = command(study);
    if !command.is_empty() {
        row("Run again", format!("<code>{}</code>", escape(&command)));
    }
    row("Machine", machine(&manifest.machine));
    html += "</dl>\n";
    if study.runs().count() > 1 {
        html += "<details>\n<summary>The runs and the hashes of their events</summary>\n<div class=\"scroll\"><table \
                 class=\"hashes\">\n<thead><tr><th scope=\"col\">group</th><th scope=\"col\">seed</th><th \
                 scope=\"col\">events (SHA-256)</th></tr></thead>\n<tbody>\n";
        for (group, run) in
            study.groups.iter().flat_map(|group| group.runs.iter().map(move |run| (group, run)))
        {
            let hash = run.manifest.events_sha256.as_deref().map(escape).unwrap_or_default();
            let seed = run.manifest.seed;
            let name = escape(&group.name);
            let _ = writeln!(
                html,
                "<tr><th scope=\"row\">{name}</th><td>{seed}</td><td><code>{hash}</code></td></tr>"
            );
        }
        html += "</tbody></table></div>\n</details>\n";
    }
    let text = escape_lines(&manifest.scenario.toml);
    let _ = writeln!(html, "<details>\n<summary>The scenario</summary>\n<pre>{text}</pre>\n</details>");
    html + "</section>\n"
}

/// What was cut off at the start of several runs.
fn warm_ups(study: &Study) -> String {
    let cuts: Vec<&Cut> = study.runs().filter_map(|run| run.summary.warm_up.as_ref()).collect();
    let ends = cuts.iter().map(|cut| cut.until_s);
    let (least, most) = (ends.clone().fold(f64::INFINITY, f64::min), ends.fold(0.0, f64::max));
    let [least_text, most_text] = [least, most].map(|end| Unit::Seconds.write(end));
    let mut text = match least == most {
        true => format!("the first {most_text} of every run are left out"),
        false => format!("the first {least_text} to {most_text} of each run are left out"),
    };
    let peers: u64 = cuts.iter().map(|cut| cut.peers).sum();
    text += &format!(", with {} peers that came in them", number(peers as f64));
    match cuts.iter().filter(|cut| cut.rule == Rule::Half).count() {
        0 => text,
        unsteady => format!("{text}; {unsteady} of {} runs were not steady in their first half", cuts.len()),
    }
}

/// Names with values.
fn pairs(entries: &BTreeMap<String, String>) -> String {
    let entries = entries.iter().map(|(name, value)| format!("{} {}", escape(name), escape(value)));
    entries.collect::<Vec<_>>().join(", ")
}

/// Where the first run ran, and how long it took.
fn machine(machine: &Machine) -> String {
    let Machine { wall_s, os, arch, cores, .. } = machine;
    let cores = cores.map(|cores| format!(", {cores} cores")).unwrap_or_default();
    format!("{} {}{cores}; {}", escape(os), escape(arch), Unit::Seconds.write(*wall_s))
}

/// The command that does the same again; nothing for the cells of a sweep, which have one each.
fn command(study: &Study) -> String {
    let Some(run) = study.runs().next() else { return String::new() };
    let name = quote(&run.manifest.scenario.name);
    let sets: String = run.manifest.sets.iter().map(|set| format!(" --set {}", quote(set))).collect();
    let seeds = ranges(&seeds(study)).replace(", ", ",");
    match &study.comparison {
        Some(comparison) => {
            // What they are called here may be no name of a profile: `mainline#2`.
            let given: Vec<&str> = match comparison.given.len() {
                0 => study.groups.iter().map(|group| &*group.name).collect(),
                _ => comparison.given.iter().map(String::as_str).collect(),
            };
            let profiles: String = given.iter().map(|given| format!(" --profile {}", quote(given))).collect();
            let classes: String =
                comparison.classes.iter().map(|class| format!(" --class {}", quote(class))).collect();
            let seeds = match &*comparison.seeds {
                [] => seeds,
                own => ranges(own).replace(", ", ","),
            };
            let paired = if comparison.paired { "" } else { " --unpaired" };
            format!("bt-lab compare {name}{sets}{profiles}{classes} --seeds {seeds}{paired} --out DIR")
        }
        None if study.runs().count() == 1 => format!("bt-lab run {name}{sets} --seed {seeds} --out DIR"),
        None => String::new(),
    }
}

/// A word of a shell's command.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '=' | ',' | ':');
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
