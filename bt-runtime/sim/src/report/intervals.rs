//! Rows of figures with their confidence intervals: forest plots.

use std::fmt::Write as _;

use super::restyle::field;
use super::scale::{Axis, Scale};
use super::svg::{Anchor, Canvas, STYLES, width};

const ROW: f64 = 24.0;

/// Figures with intervals, one below the other.
#[derive(Clone, Debug)]
pub(super) struct Intervals {
    /// The common axis.
    pub(super) x: Axis,
    /// The rows, from the top.
    pub(super) rows: Vec<Row>,
    /// Where a line is drawn to compare with.
    pub(super) zero: Option<f64>,
    /// Figures beyond plus and minus this are drawn at the edge, with an arrow.
    pub(super) most: f64,
    /// The width of the drawing.
    pub(super) width: f64,
}

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// A heading that rows share, said once.
    pub(super) group: String,
    /// What the row is about.
    pub(super) name: String,
    /// The figure.
    pub(super) value: f64,
    /// Its interval, where there is one.
    pub(super) interval: Option<(f64, f64)>,
    /// The same in words.
    pub(super) text: String,
    /// Which line style it has.
    pub(super) style: usize,
}

impl Intervals {
    /// The drawing.
    pub(super) fn draw(&self) -> Canvas {
        let cut = |value: f64| value.clamp(-self.most, self.most);
        let ends = |row: &Row| row.interval.unwrap_or((row.value, row.value));
        let values = self.rows.iter().flat_map(|row| [row.value, ends(row).0, ends(row).1].map(cut));
        let x = Scale::fit(&self.x, values.chain(self.zero), 6, true);
        let grouped = self.rows.iter().any(|row| !row.group.is_empty());
        let indent = if grouped { 14.0 } else { 0.0 };
        let names = self.rows.iter().flat_map(|row| [width(&row.name) + indent, width(&row.group) * 1.05]);
        let texts = self.rows.iter().map(|row| width(&row.text));
        let left = (names.fold(40.0, f64::max) + 16.0).min(300.0);
        let right = self.width - (texts.fold(40.0, f64::max) + 12.0).min(280.0);
        let groups = self.rows.iter().zip(std::iter::once("").chain(self.rows.iter().map(|row| &*row.group)));
        let headings = groups.filter(|(row, before)| !row.group.is_empty() && row.group != *before).count();
        let bottom = 10.0 + ROW * (self.rows.len() + headings) as f64 + 6.0;
        let mut canvas = Canvas::new(self.width, bottom + 48.0);
        let at_x = |value: f64| x.place(value, left, right);

        for (value, text) in &x.ticks {
            canvas.line("grid", (at_x(*value), 6.0), (at_x(*value), bottom));
            canvas.text("quiet", (at_x(*value), bottom + 18.0), Anchor::Middle, text);
        }
        canvas.line("axis", (left, bottom), (right, bottom));
        canvas.text("", ((left + right) / 2.0, bottom + 40.0), Anchor::Middle, &x.title);
        if let Some(zero) = self.zero {
            canvas.line("rule", (at_x(zero), 6.0), (at_x(zero), bottom));
        }
        let (mut top, mut before) = (10.0, "");
        for row in &self.rows {
            if !row.group.is_empty() && row.group != before {
                canvas.text("strong", (0.0, top + 16.0), Anchor::Start, &row.group);
                before = &row.group;
                top += ROW;
            }
            let middle = top + ROW / 2.0;
            canvas.text("", (indent, middle + 4.5), Anchor::Start, &row.name);
            canvas.text("right", (self.width - 2.0, middle + 4.5), Anchor::End, &row.text);
            let style = row.style % STYLES;
            let tip = format!("{} {}: {}", row.group, row.name, row.text);
            if let Some((low, high)) = row.interval {
                let (from, to) = (at_x(cut(low)), at_x(cut(high)));
                let (start, end) =
                    (edge(from, middle, low < -self.most, 6.0), edge(to, middle, high > self.most, -6.0));
                let path = format!("M{from:.1} {middle:.1}H{to:.1}{start}{end}");
                canvas.path(&format!("whisker s{style}"), &path, &tip);
            }
            if row.value.abs() <= self.most {
                canvas.rect(
                    &format!("f{style}"),
                    (at_x(row.value) - 4.5, middle - 4.5),
                    (9.0, 9.0),
                    None,
                    &tip,
                );
            }
            top += ROW;
        }
        canvas
    }

    /// The data.
    pub(super) fn csv(&self) -> String {
        let mut csv = format!("row,{},low,high\n", super::restyle::heading(&self.x));
        for row in &self.rows {
            let name =
                if row.group.is_empty() { row.name.clone() } else { format!("{}: {}", row.group, row.name) };
            let _ = write!(csv, "{},{}", field(&name), row.value);
            let _ = match row.interval {
                Some((low, high)) => writeln!(csv, ",{low},{high}"),
                None => writeln!(csv, ",,"),
            };
        }
        csv
    }
}

/// The end of a whisker: a bar, or an arrow where the interval goes on.
fn edge(x: f64, y: f64, beyond: bool, back: f64) -> String {
    if beyond {
        format!("M{:.1} {:.1}L{x:.1} {y:.1}L{:.1} {:.1}", x + back, y - 5.0, x + back, y + 5.0)
    } else {
        format!("M{x:.1} {:.1}V{:.1}", y - 4.0, y + 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::Unit;
    use super::*;

    #[test]
    fn what_is_beyond_the_axis_gets_an_arrow() {
        let row = |name: &str, value, interval| Row {
            group: "time".to_owned(),
            name: name.to_owned(),
            value,
            interval,
            text: "text".to_owned(),
            style: 1,
        };
        let rows =
            vec![row("a", 0.1, Some((-0.1, 0.3))), row("b", 50.0, Some((1.0, 99.0))), row("c", 0.0, None)];
        let plot = Intervals {
            x: Axis::from_zero("difference", Unit::Share),
            rows,
            zero: Some(0.0),
            most: 3.0,
            width: 620.0,
        };
        let svg = plot.draw().inline("x", "x", "x");
        assert_eq!(svg.matches("whisker").count(), 2);
        assert_eq!(svg.matches("class=\"f1\"").count(), 2, "the square of b is beyond");
        assert_eq!(svg.matches(">time<").count(), 1, "a heading is said once");
        assert_eq!(
            plot.csv(),
            "row,difference (fraction),low,high\ntime: a,0.1,-0.1,0.3\ntime: b,50,1,99\ntime: c,0,,\n"
        );
    }
}
