//! What lies beside each plot so that it can be drawn again in another style: its data, and a script for gnuplot.

use std::fmt::Write as _;

use super::chart::Chart;
use super::figures::Plot;
use super::scale::Axis;
use super::text::Unit;

/// Draws any of the CSV files with matplotlib.
pub(super) const MATPLOTLIB: &str = include_str!("plot.py");

/// A text as a field of a CSV file.
pub(super) fn field(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// An axis as the heading of a column: data have no other unit than the basic one.
pub(super) fn heading(axis: &Axis) -> String {
    field(&match axis.unit {
        Unit::Seconds => format!("{} (s)", axis.label),
        Unit::Share => format!("{} (fraction)", axis.label),
        Unit::Bytes => format!("{} (bytes)", axis.label),
        Unit::Rate => format!("{} (bytes/s)", axis.label),
        Unit::Plain => axis.label.clone(),
    })
}

/// What a script for gnuplot begins with.
pub(super) fn first_line(name: &str) -> String {
    format!("# gnuplot {name}.gp draws {name}.csv into {name}-gnuplot.svg\n")
}

/// The script for gnuplot that draws `NAME.csv`.
pub(super) fn gnuplot(name: &str, title: &str, plot: &Plot) -> String {
    let mut script = format!(
        "{}set terminal svg size 720,480 noenhanced background 'white'\nset output '{name}-gnuplot.svg'\n\
         set datafile separator ','\nset title {}\nset key outside top\nset grid\n",
        first_line(name),
        quote(title)
    );
    match plot {
        Plot::Chart(chart) => curves(&mut script, name, chart),
        Plot::Intervals(plot) => {
            let _ = write!(
                script,
                "set xlabel {}\nset offsets graph 0.05, graph 0.05, 1, 1\nunset key\n\
                 plot '{name}.csv' skip 1 using 2:(-$0):3:4:ytic(1) with xerrorbars pt 5 lw 2\n",
                quote(&heading(&plot.x))
            );
        }
        Plot::Heat(heat) => {
            let size = heat.names.len();
            let _ = write!(
                script,
                "set xlabel 'to'\nset ylabel 'from'\nset cblabel {}\nset yrange [] reverse\nunset key\nunset grid\n\
                 set palette defined (0 '#f7fbff', 1 '#083775')\nplot '{name}.csv' skip 1 using (int($0)%{size}):(int($0)/{size}):3:xtic(2):ytic(1) with image pixels\n",
                quote(&heat.figure)
            );
        }
    }
    script
}

fn curves(script: &mut String, name: &str, chart: &Chart) {
    let _ = writeln!(
        script,
        "set xlabel {}\nset ylabel {}",
        quote(&heading(&chart.x)),
        quote(&heading(&chart.y))
    );
    for (place, text) in &chart.rules {
        let _ = writeln!(script, "set arrow from {place}, graph 0 to {place}, graph 1 nohead dashtype 2");
        let _ = writeln!(script, "set label {} at {place}, graph 0.05 rotate left offset -1,0", quote(text));
    }
    let mut parts = Vec::new();
    let mut first = 0;
    for curve in chart.curves.iter().filter(|curve| !curve.points.is_empty()) {
        let rows = format!("'{name}.csv' skip 1 every ::{first}::{} using 2", first + curve.points.len() - 1);
        first += curve.points.len();
        if !curve.band.is_empty() {
            parts.push(format!("{rows}:4:5 with filledcurves fillstyle transparent solid 0.2 notitle"));
        }
        let style = if curve.steps { "steps" } else { "lines" };
        parts.push(format!("{rows}:3 with {style} lw 2 title {}", quote(&curve.name)));
    }
    let _ = writeln!(script, "plot {}", parts.join(", \\\n     "));
}

/// A text as gnuplot reads it.
fn quote(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(field("a \"b\", c\n"), "\"a \"\"b\"\", c \"");
        assert_eq!(quote("it's\n`x`"), "'it''s `x`'");
    }
}
