//! A matrix as coloured cells with figures in them.

use std::fmt::Write as _;

use super::restyle::field;
use super::svg::{Anchor, Canvas, width};
use super::text::fixed;

const WIDTH: f64 = 620.0;

/// From none to most: light to dark, so that a print in grey reads the same.
const COLOURS: [(u8, u8, u8); 7] = [
    (247, 251, 255),
    (222, 235, 247),
    (189, 215, 238),
    (133, 188, 220),
    (74, 144, 198),
    (29, 99, 170),
    (8, 55, 117),
];

/// A matrix of shares.
#[derive(Clone, Debug)]
pub(super) struct Heat {
    /// Names of rows (who gives) and columns (who gets).
    pub(super) names: Vec<String>,
    /// Row by row, each figure a part of one; `None` where there is none.
    pub(super) cells: Vec<Vec<Option<f64>>>,
    /// A figure for each row, at its right, under this heading.
    pub(super) beside: Option<(String, Vec<String>)>,
    /// What a figure is.
    pub(super) figure: String,
}

impl Heat {
    /// The drawing.
    pub(super) fn draw(&self) -> Canvas {
        let count = self.names.len().max(1) as f64;
        let longest = self.names.iter().map(|name| width(name)).fold(40.0, f64::max).min(170.0);
        let left = 24.0 + longest + 10.0;
        let side = self.beside.as_ref().map_or(0.0, |(heading, _)| width(heading) + 22.0);
        let wide = ((WIDTH - left - side - 4.0) / count).min(130.0);
        let high = (wide * 0.62).clamp(22.0, 62.0);
        let upright = self.names.iter().any(|name| width(name) > wide - 6.0);
        let top = 26.0 + if upright { longest + 6.0 } else { 18.0 };
        let bottom = top + high * count;
        let mut canvas = Canvas::new(WIDTH, bottom + 58.0);
        let most = self.cells.iter().flatten().flatten().fold(0.0, |most: f64, cell| most.max(*cell));
        let most = if most > 0.0 { most } else { 1.0 };

        canvas.text("quiet", (left + wide * count / 2.0, 14.0), Anchor::Middle, "to");
        canvas.text_up("quiet", (14.0, (top + bottom) / 2.0), Anchor::Middle, "from");
        for (at, name) in self.names.iter().enumerate() {
            let (x, y) = (left + wide * (at as f64 + 0.5), top + high * (at as f64 + 0.5));
            if upright {
                canvas.text_up("", (x + 4.5, top - 8.0), Anchor::Start, name);
            } else {
                canvas.text("", (x, top - 8.0), Anchor::Middle, name);
            }
            canvas.text("", (left - 9.0, y + 4.5), Anchor::End, name);
        }
        for (row, cells) in self.cells.iter().enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                let at = (left + wide * column as f64, top + high * row as f64);
                let tip = |text: &str| format!("{} to {}: {text}", self.names[row], self.names[column]);
                let Some(value) = cell else {
                    canvas.rect("cell", at, (wide, high), Some("#efefef"), &tip("nothing"));
                    continue;
                };
                let text =
                    format!("{} %", fixed(value * 100.0, usize::from(*value > 0.0 && *value < 0.0995)));
                canvas.rect("cell", at, (wide, high), Some(&colour(value / most)), &tip(&text));
                if wide >= 44.0 {
                    let class = if value / most > 0.58 { "light" } else { "dark" };
                    canvas.text(class, (at.0 + wide / 2.0, at.1 + high / 2.0 + 4.5), Anchor::Middle, &text);
                }
            }
        }
        if let Some((heading, figures)) = &self.beside {
            let x = left + wide * count + 16.0;
            canvas.text("quiet", (x, top - 8.0), Anchor::Start, heading);
            for (row, figure) in figures.iter().enumerate() {
                canvas.text("", (x, top + high * (row as f64 + 0.5) + 4.5), Anchor::Start, figure);
            }
        }
        self.key(&mut canvas, left, bottom + 18.0, most);
        canvas
    }

    /// What the colours mean.
    fn key(&self, canvas: &mut Canvas, left: f64, top: f64, most: f64) {
        for at in 0..30 {
            let place = f64::from(at);
            let tip = format!("{} %", fixed(place / 29.0 * most * 100.0, 0));
            canvas.rect("", (left + place * 5.0, top), (5.2, 12.0), Some(&colour(place / 29.0)), &tip);
        }
        canvas.text("quiet small", (left, top + 26.0), Anchor::Start, "0 %");
        canvas.text(
            "quiet small",
            (left + 150.0, top + 26.0),
            Anchor::End,
            &format!("{} %", fixed(most * 100.0, 0)),
        );
        canvas.text("quiet small", (left + 160.0, top + 10.5), Anchor::Start, &self.figure);
    }

    /// The data.
    pub(super) fn csv(&self) -> String {
        let mut csv = format!("from,to,{}\n", field(&self.figure));
        for (from, cells) in self.names.iter().zip(&self.cells) {
            for (to, cell) in self.names.iter().zip(cells) {
                let cell = cell.map(|cell| cell.to_string()).unwrap_or_default();
                let _ = writeln!(csv, "{},{},{cell}", field(from), field(to));
            }
        }
        csv
    }
}

/// The colour of a part of the most.
fn colour(part: f64) -> String {
    let place = part.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f64;
    let low = (place as usize).min(COLOURS.len() - 2);
    let (a, b, part) = (COLOURS[low], COLOURS[low + 1], place - low as f64);
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_colours_and_figures() {
        let heat = Heat {
            names: vec!["slow".to_owned(), "fast".to_owned()],
            cells: vec![vec![Some(0.25), Some(0.75)], vec![None, Some(1.0)]],
            beside: Some(("clustering".to_owned(), vec!["0.5".to_owned(), "1.2".to_owned()])),
            figure: "share of the row".to_owned(),
        };
        let svg = heat.draw().inline("x", "x", "x");
        assert_eq!(svg.matches("class=\"cell\"").count(), 4);
        assert!(svg.contains(">75 %<") && svg.contains(">100 %<") && svg.contains(">1.2<"));
        assert_eq!(heat.csv().lines().nth(3), Some("fast,slow,"));
        assert_eq!(
            (colour(0.0), colour(1.0), colour(9.0)),
            ("#f7fbff".into(), "#083775".into(), "#083775".into())
        );
    }
}
