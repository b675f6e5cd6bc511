//! Writes SVG: shapes and texts with class names, which the page styles for screen and print, and a plot file by
//! its own style sheet.

use std::fmt::Write as _;

use super::text::escape;

/// How plots look in a file of their own: on white, in the colours of Okabe and Ito, which most people tell apart.
const STYLE: &str = include_str!("plot.css");

/// How many line styles there are.
pub(super) const STYLES: usize = 8;

/// Where a text is anchored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing, from the top left, in pixels.
#[derive(Clone, Debug)]
pub(super) struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

impl Canvas {
    /// An empty one.
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(pixel);
        let _ = writeln!(self.body, r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#);
    }

    /// A path, with a text that shows when it is pointed at.
    pub(super) fn path(&mut self, class: &str, path: &str, tip: &str) {
        if !path.is_empty() {
            let tip = escape(tip);
            let _ = writeln!(self.body, r#"<path class="{class}" d="{path}"><title>{tip}</title></path>"#);
        }
    }

    /// A rectangle, filled with `fill` if the class doesn't say how.
    pub(super) fn rect(
        &mut self,
        class: &str,
        at: (f64, f64),
        size: (f64, f64),
        fill: Option<&str>,
        tip: &str,
    ) {
        let [x, y, w, h] = [at.0, at.1, size.0, size.1].map(pixel);
        let fill = fill.map(|fill| format!(r#" fill="{fill}""#)).unwrap_or_default();
        let tip = escape(tip);
        let _ = writeln!(
            self.body,
            r#"<rect class="{class}" x="{x}" y="{y}" width="{w}" height="{h}"{fill}><title>{tip}</title></rect>"#
        );
    }

    /// A circle.
    pub(super) fn circle(&mut self, class: &str, at: (f64, f64), radius: f64) {
        let [x, y, r] = [at.0, at.1, radius].map(pixel);
        let _ = writeln!(self.body, r#"<circle class="{class}" cx="{x}" cy="{y}" r="{r}"/>"#);
    }

    /// A text.
    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let [x, y] = [at.0, at.1].map(pixel);
        self.write_text(class, &format!(r#"x="{x}" y="{y}""#), anchor, text);
    }

    /// A text that reads upwards.
    pub(super) fn text_up(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let [x, y] = [at.0, at.1].map(pixel);
        self.write_text(class, &format!(r#"transform="translate({x} {y}) rotate(-90)""#), anchor, text);
    }

    fn write_text(&mut self, class: &str, place: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        let _ = writeln!(self.body, r#"<text class="{class}" {place} text-anchor="{anchor}">{text}</text>"#);
    }

    /// The drawing within a page: titled and described for those who cannot see it. `name` is unique in the page.
    pub(super) fn inline(&self, name: &str, title: &str, description: &str) -> String {
        self.element(name, "", "", title, description)
    }

    /// The drawing as a file.
    pub(super) fn file(&self, name: &str, title: &str, description: &str) -> String {
        let [w, h] = [self.width, self.height].map(pixel);
        let attributes = format!(r#" xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}""#);
        let style =
            format!("<style>\n{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
        self.element(name, &attributes, &style, title, description)
    }

    fn element(&self, name: &str, attributes: &str, first: &str, title: &str, description: &str) -> String {
        let (name, title, description) = (escape(name), escape(title), escape(description));
        let [w, h] = [self.width, self.height].map(pixel);
        format!(
            "<svg class=\"plot\"{attributes} viewBox=\"0 0 {w} {h}\" role=\"img\" \
             aria-labelledby=\"{name}-title {name}-desc\">\n<title id=\"{name}-title\">{title}</title>\n\
             <desc id=\"{name}-desc\">{description}</desc>\n{first}{}</svg>\n",
            self.body
        )
    }
}

/// The style sheet of plots, for the page.
pub(super) fn style() -> &'static str {
    STYLE
}

/// A coordinate with a tenth of a pixel.
pub(super) fn pixel(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// About how wide a text is, in pixels, in the letters of plots.
pub(super) fn width(text: &str) -> f64 {
    text.chars()
        .map(|c| if matches!(c, 'i' | 'j' | 'l' | 't' | 'f' | '.' | ',' | ' ') { 4.4 } else { 7.6 })
        .sum()
}
