//! Curves over two axes: distributions and courses over time.

use std::fmt::Write as _;

use super::scale::{Axis, Scale};
use super::svg::{Anchor, Canvas, STYLES, pixel, width};

const WIDTH: f64 = 620.0;
const RIGHT: f64 = 18.0;
const PLOT_HEIGHT: f64 = 290.0;

/// Curves over two axes.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// The axis below.
    pub(super) x: Axis,
    /// The axis at the left.
    pub(super) y: Axis,
    /// The curves, drawn in this order.
    pub(super) curves: Vec<Curve>,
    /// Vertical lines, each at a place and with a text.
    pub(super) rules: Vec<(f64, String)>,
}

/// One curve.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// Its name in the legend and in the data.
    pub(super) name: String,
    /// What the legend adds to the name.
    pub(super) note: String,
    /// Which line style it has.
    pub(super) style: usize,
    /// Its points, from left to right.
    pub(super) points: Vec<(f64, f64)>,
    /// Lower and upper limit at each point, or nothing.
    pub(super) band: Vec<(f64, f64)>,
    /// Whether the figure keeps its height from one point to the next.
    pub(super) steps: bool,
    /// Whether it ends before its time: the end is then marked with a ring.
    pub(super) open: bool,
}

impl Chart {
    /// The drawing.
    pub(super) fn draw(&self) -> Canvas {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let bands = || self.curves.iter().flat_map(|curve| &curve.band);
        let places = points().map(|point| point.0).chain(self.rules.iter().map(|rule| rule.0));
        let heights = points().map(|point| point.1).chain(bands().flat_map(|band| [band.0, band.1]));
        let x = Scale::fit(&self.x, places, 7, false);
        let y = Scale::fit(&self.y, heights, 5, true);

        let widest = y.ticks.iter().map(|(_, text)| width(text)).fold(0.0, f64::max);
        let left = 40.0 + widest;
        let right = WIDTH - RIGHT;
        let legend = self.legend_places(left, right);
        let rows = legend.last().map_or(0, |(row, _)| row + 1);
        let top = 12.0 + 20.0 * rows as f64;
        let bottom = top + PLOT_HEIGHT;
        let mut canvas = Canvas::new(WIDTH, bottom + 48.0);

        let at_x = |value: f64| x.place(value, left, right);
        let at_y = |value: f64| y.place(value, bottom, top);
        for (value, text) in &y.ticks {
            canvas.line("grid", (left, at_y(*value)), (right, at_y(*value)));
            canvas.text("quiet", (left - 8.0, at_y(*value) + 4.5), Anchor::End, text);
        }
        for (value, text) in &x.ticks {
            canvas.line("axis", (at_x(*value), bottom), (at_x(*value), bottom + 5.0));
            canvas.text("quiet", (at_x(*value), bottom + 20.0), Anchor::Middle, text);
        }
        canvas.line("axis", (left, bottom), (right, bottom));
        canvas.text("", ((left + right) / 2.0, bottom + 41.0), Anchor::Middle, &x.title);
        canvas.text_up("", (15.0, (top + bottom) / 2.0), Anchor::Middle, &y.title);

        for curve in &self.curves {
            let path = band(&curve.points, &curve.band, &at_x, &at_y);
            canvas.path(&format!("band f{}", curve.style % STYLES), &path, &curve.name);
        }
        for (value, text) in &self.rules {
            let place = at_x(*value);
            canvas.line("rule", (place, top), (place, bottom));
            let beside = if place - left > 40.0 { place - 6.0 } else { place + 14.0 };
            canvas.text_up("halo small", (beside, bottom - 8.0), Anchor::Start, text);
        }
        for curve in &self.curves {
            let path = path(curve, right, &at_x, &at_y);
            canvas.path(&format!("curve s{}", curve.style % STYLES), &path, &curve.label());
            if let (true, Some(end)) = (curve.open, curve.points.last()) {
                let at = (if curve.steps { right } else { at_x(end.0) }, at_y(end.1));
                canvas.circle(&format!("open s{}", curve.style % STYLES), at, 4.5);
            }
        }
        for (curve, (row, start)) in self.curves.iter().zip(&legend) {
            let height = 12.0 + 20.0 * *row as f64;
            let line = format!("M{} {}h28", pixel(*start), pixel(height));
            canvas.path(&format!("curve key s{}", curve.style % STYLES), &line, &curve.name);
            canvas.text("", (start + 35.0, height + 4.5), Anchor::Start, &curve.label());
        }
        canvas
    }

    /// Row and left end of each legend entry; nothing where there is nothing to tell apart.
    fn legend_places(&self, left: f64, right: f64) -> Vec<(usize, f64)> {
        if self.curves.len() < 2 && self.curves.iter().all(|curve| curve.note.is_empty()) {
            return Vec::new();
        }
        let (mut row, mut start) = (0, left);
        let place = |curve: &Curve| {
            let wide = 35.0 + width(&curve.label()) + 20.0;
            if start > left && start + wide > right + 20.0 {
                (row, start) = (row + 1, left);
            }
            let place = (row, start);
            start += wide;
            place
        };
        self.curves.iter().map(place).collect()
    }

    /// The data, one row a point.
    pub(super) fn csv(&self) -> String {
        let banded = self.curves.iter().any(|curve| !curve.band.is_empty());
        let [x, y] = [&self.x, &self.y].map(super::restyle::heading);
        let mut csv = format!("series,{x},{y}{}\n", if banded { ",low,high" } else { "" });
        for curve in &self.curves {
            let name = super::restyle::field(&curve.name);
            for (at, (x, y)) in curve.points.iter().enumerate() {
                let _ = write!(csv, "{name},{x},{y}");
                let _ = match curve.band.get(at) {
                    Some((low, high)) => writeln!(csv, ",{low},{high}"),
                    None => writeln!(csv, "{}", if banded { ",," } else { "" }),
                };
            }
        }
        csv
    }
}

impl Curve {
    /// What the legend says.
    fn label(&self) -> String {
        if self.note.is_empty() { self.name.clone() } else { format!("{} ({})", self.name, self.note) }
    }
}

/// The line itself. Steps begin at zero and go on to the right edge, and those that no screen shows are left out.
fn path(curve: &Curve, right: f64, at_x: &impl Fn(f64) -> f64, at_y: &impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    if !curve.steps {
        for (at, (x, y)) in curve.points.iter().enumerate() {
            let _ =
                write!(path, "{}{} {}", if at == 0 { 'M' } else { 'L' }, pixel(at_x(*x)), pixel(at_y(*y)));
        }
        return path;
    }
    let Some(first) = curve.points.first() else { return path };
    let _ = write!(path, "M{} {}", pixel(at_x(first.0)), pixel(at_y(0.0)));
    let mut drawn = f64::NEG_INFINITY;
    for (at, (x, y)) in curve.points.iter().enumerate() {
        let place = at_x(*x);
        if place - drawn >= 0.4 || at + 1 == curve.points.len() {
            let _ = write!(path, "H{}V{}", pixel(place), pixel(at_y(*y)));
            drawn = place;
        }
    }
    let _ = write!(path, "H{}", pixel(right));
    path
}

/// The area between the limits.
fn band(
    points: &[(f64, f64)],
    band: &[(f64, f64)],
    at_x: &impl Fn(f64) -> f64,
    at_y: &impl Fn(f64) -> f64,
) -> String {
    let upper = points.iter().zip(band).map(|(point, band)| (point.0, band.1));
    let lower = points.iter().zip(band).rev().map(|(point, band)| (point.0, band.0));
    let mut path = String::new();
    for (x, y) in upper.chain(lower) {
        let _ =
            write!(path, "{}{} {}", if path.is_empty() { 'M' } else { 'L' }, pixel(at_x(x)), pixel(at_y(y)));
    }
    if !path.is_empty() {
        path.push('Z');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::super::text::Unit;
    use super::*;

    fn curve(points: Vec<(f64, f64)>) -> Curve {
        let name = "a, <b>".to_owned();
        Curve { name, note: String::new(), style: 9, points, band: Vec::new(), steps: true, open: true }
    }

    #[test]
    fn ten_thousand_steps_make_a_short_path() {
        let points =
            (0..10_000).map(|at| (1000.0 + f64::from(at) / 100.0, f64::from(at + 1) / 20_000.0)).collect();
        let x = Axis { label: "time".to_owned(), unit: Unit::Seconds, from: None, to: None };
        let chart = Chart {
            x,
            y: Axis::share("peers"),
            curves: vec![curve(points)],
            rules: vec![(1040.0, "bound".into())],
        };
        let svg = chart.draw().inline("x", "x", "x");
        assert!(svg.len() < 40_000, "{}", svg.len());
        assert!(
            svg.contains("curve s1")
                && svg.contains("open s1")
                && svg.contains(">bound<")
                && svg.contains("V")
        );
        assert_eq!(chart.csv().lines().count(), 10_001);
        assert_eq!(chart.csv().lines().nth(1), Some("\"a, <b>\",1000,0.00005"));
        assert!(!svg.contains("<b>") && !svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn long_legends_take_several_rows() {
        let curves = (0..8).map(|_| curve(vec![(0.0, 0.5)])).collect();
        let chart =
            Chart { x: Axis::from_zero("t", Unit::Plain), y: Axis::share("p"), curves, rules: Vec::new() };
        let places = chart.legend_places(60.0, 300.0);
        assert!(places.last().is_some_and(|(row, _)| *row >= 2) && places.iter().all(|(_, x)| *x < 300.0));
    }
}
