//! The plot of an overview: the differences of all profiles, class by class beside each other.

use super::scale::{Axis, Scale};
use super::svg::{Anchor, Canvas, width};
use super::text::Unit;
use crate::compare::{Column, Overview};

const ROW: f64 = 20.0;
const TOP: f64 = 48.0;
const PANEL: f64 = 150.0;
const GAP: f64 = 34.0;
/// What lies beyond is drawn at the edge, with an arrow: one policy that stops a swarm would flatten all others.
const MOST: f64 = 1.0;

/// The differences in median completion time from the first profile as an SVG file, a panel for each class of peers.
pub fn overview(found: &Overview) -> String {
    let first = found.profiles.first().map_or("", String::as_str);
    let left = found.profiles.iter().map(|name| width(name)).fold(40.0, f64::max) + 12.0;
    let bottom = TOP + ROW * found.profiles.len().saturating_sub(1) as f64 + 4.0;
    let full = left + (PANEL + GAP) * found.times.len() as f64;
    let mut canvas = Canvas::new(full, bottom + 48.0);
    for (at, profile) in found.profiles.iter().skip(1).enumerate() {
        let y = TOP + ROW * at as f64;
        canvas.text("", (0.0, y + 14.5), Anchor::Start, profile);
        canvas.line("grid", (0.0, y + ROW), (full, y + ROW));
    }
    for (at, column) in found.times.iter().enumerate() {
        panel(&mut canvas, column, left + (PANEL + GAP) * at as f64, bottom);
    }
    let label = format!("median completion time against {first} (%), 95 % intervals");
    canvas.text("", (left + (full - left - GAP) / 2.0, bottom + 40.0), Anchor::Middle, &label);
    let description = format!(
        "For each class of peers and each profile the difference in median completion time from {first}, in per cent."
    );
    canvas.file("overview", "Profiles compared", &description)
}

fn panel(canvas: &mut Canvas, column: &Column, left: f64, bottom: f64) {
    let right = left + PANEL;
    let middle = (left + right) / 2.0;
    canvas.text("strong", (middle, 16.0), Anchor::Middle, &column.scenario);
    canvas.text("quiet", (middle, 34.0), Anchor::Middle, &column.class);
    let parts: Vec<_> = column.rows.iter().skip(1).map(|row| (row, column.part(row))).collect();
    let cut = |value: f64| value.clamp(-MOST, MOST);
    let ends = parts.iter().filter_map(|(_, part)| *part);
    let ends = ends.flat_map(|part| [part.low.unwrap_or(part.mean), part.high.unwrap_or(part.mean)].map(cut));
    let axis = Axis { label: String::new(), unit: Unit::Share, from: Some(-0.05), to: Some(0.05) };
    let scale = Scale::fit(&axis, ends, 3, true);
    let at_x = |value: f64| scale.place(cut(value).clamp(scale.low, scale.high), left, right);
    for (value, text) in &scale.ticks {
        canvas.line("grid", (at_x(*value), TOP - 6.0), (at_x(*value), bottom));
        canvas.text("quiet small", (at_x(*value), bottom + 16.0), Anchor::Middle, text);
    }
    canvas.line("axis", (left, bottom), (right, bottom));
    canvas.line("rule", (at_x(0.0), TOP - 6.0), (at_x(0.0), bottom));
    for (at, (row, part)) in parts.iter().enumerate() {
        let y = TOP + ROW * (at as f64 + 0.5);
        let Some(part) = part else {
            canvas.text("quiet small", (middle, y + 4.0), Anchor::Middle, "did not finish");
            continue;
        };
        let tip = format!("{}: {} %", row.profile, crate::compare::percent(part));
        // Better, worse, or not to be told apart.
        let style = match part.differs() {
            Some(true) if part.mean < 0.0 => 2,
            Some(true) => 1,
            _ => 6,
        };
        if let Some((low, high)) = part.low.zip(part.high) {
            let path = format!("M{:.1} {y:.1}H{:.1}", at_x(low), at_x(high));
            canvas.path(&format!("whisker s{style}"), &path, &tip);
        }
        if part.mean.abs() <= MOST {
            canvas.rect(&format!("f{style}"), (at_x(part.mean) - 3.5, y - 3.5), (7.0, 7.0), None, &tip);
        } else {
            let x = at_x(part.mean);
            let back = if part.mean > 0.0 { -7.0 } else { 7.0 };
            let path =
                format!("M{:.1} {:.1}L{x:.1} {y:.1}L{:.1} {:.1}", x + back, y - 5.0, x + back, y + 5.0);
            canvas.path(&format!("whisker s{style}"), &path, &tip);
        }
    }
}
