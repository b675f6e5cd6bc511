//! Findings as text for a terminal, and as Markdown.

use std::fmt::Write;

use super::{Findings, Reproduction, Row};

/// A reproduction and what it found.
pub type Report = (&'static Reproduction, Findings);

/// The widest line of text.
const WIDTH: usize = 110;

/// What one reproduction found, for a terminal.
pub fn text((reproduction, findings): &Report) -> String {
    let Reproduction { name, title, source, .. } = reproduction;
    let mut out = format!("{name}: {title}\n");
    paragraph(&mut out, &format!("Source: {source}"));
    for part in &findings.setup {
        paragraph(&mut out, part);
    }
    for Row { what, expected, standing, measured, verdict } in &findings.rows {
        let _ = writeln!(out, "  * {what}: {verdict}");
        if let Some(standing) = standing {
            let _ = writeln!(out, "      expected  {expected} [{standing}]");
        }
        let _ = writeln!(out, "      measured  {measured}");
    }
    for part in &findings.explanation {
        paragraph(&mut out, part);
    }
    let _ = writeln!(out, "  -> {}", findings.in_short());
    out
}

/// A paragraph, indented and broken at spaces.
fn paragraph(out: &mut String, text: &str) {
    let mut line = String::from(" ");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(out, "{line}");
            line = String::from(" ");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}

/// What begins the document.
const HEAD: &str = "# Published results, reproduced

Written by `bt-lab reproduce`; do not edit. Each figure is a mean over runs with different seeds, with its 95 %
confidence interval (Student's t; a run is one observation, never a peer). How well an expected figure is known:

- *closed form*: a textbook result that anybody can derive again.
- *derived*: computed by a closed form from a set-up that was read in the named source.
- *read*: in the text of the paper or the source of its program; *abstract*: in the paper's abstract only.

A number is *reproduced* when its whole interval lies within the tolerance, *not reproduced* when all of it lies
outside, and else *undecided*. A *shape* is an order, a direction or a threshold. *Noted* figures have nothing to be
held against: what a paper is only remembered to say decides nothing here.
";

/// The document: all reports, and how to make it again.
pub fn markdown(reports: &[Report], quick: bool) -> String {
    let command = if quick { "bt-lab reproduce --quick" } else { "bt-lab reproduce --out DIR" };
    let mut out = format!("{HEAD}\nThe command: `{command} --markdown FILE`");
    out.push_str(if quick {
        " (small swarms, five seeds).\n"
    } else {
        " (the full set; it can be interrupted).\n"
    });
    out.push_str("\n| reproduction | result | verdicts |\n| --- | --- | --- |\n");
    for (Reproduction { name, title, .. }, findings) in reports {
        let _ = writeln!(out, "| [{name}](#{name}) | {} | {} |", cell(title), findings.in_short());
    }
    for (Reproduction { name, title, source, .. }, findings) in reports {
        let _ = writeln!(out, "\n## {name}\n\n{title}. Source: {source}.");
        for part in &findings.setup {
            let _ = writeln!(out, "\n{part}");
        }
        out.push_str(
            "\n| what | expected | standing | measured | verdict |\n| --- | --- | --- | --- | --- |\n",
        );
        for Row { what, expected, standing, measured, verdict } in &findings.rows {
            let standing = standing.map(|standing| standing.to_string()).unwrap_or_default();
            let cells = [what, expected, &standing, measured].map(|text| cell(text));
            let _ = writeln!(out, "| {} | {verdict} |", cells.join(" | "));
        }
        for part in &findings.explanation {
            let _ = writeln!(out, "\n{part}");
        }
    }
    out
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::super::{REPRODUCTIONS, Standing, Verdict};
    use super::*;

    fn report() -> Report {
        let rows = vec![
            Row::new("time", ("2 s", Standing::Closed), "2.0 (1.9 to 2.1; 5 runs)", Verdict::Reproduced),
            Row::noted("a|b", "7"),
        ];
        let setup = vec!["word ".repeat(50)];
        (&REPRODUCTIONS[0], Findings { setup, rows, explanation: vec!["So.".to_owned()] })
    }

    #[test]
    fn lines_are_broken_and_every_row_is_there() {
        let text = text(&report());
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(
            text.contains("  * time: reproduced\n      expected  2 s [closed form]\n      measured  2.0"),
            "{text}"
        );
        assert!(text.ends_with("  So.\n  -> 1 reproduced, 1 noted\n"), "{text}");
    }

    #[test]
    fn tables_are_tables() {
        let text = markdown(&[report()], true);
        assert!(
            text.contains("| time | 2 s | closed form | 2.0 (1.9 to 2.1; 5 runs) | reproduced |\n"),
            "{text}"
        );
        assert!(text.contains("| a\\|b |  |  | 7 | noted |\n"), "{text}");
    }
}
