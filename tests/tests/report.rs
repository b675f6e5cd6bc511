//! The report opened in Chromium (Debian's package), without a screen: it loads nothing but itself, says nothing on
//! the console, and every plot is drawn, with no text cut off or over another one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use bt_sim::report;
use bt_tests::process::Process;
use serde::Deserialize;

#[path = "../../bt-runtime/sim/src/report/tests/sample.rs"]
mod sample;

/// Looks at the page from inside, and leaves what it has seen as JSON in its place.
const PROBE: &str = include_str!("report_probe.js");

/// What the probe has seen of a plot.
#[derive(Debug, Deserialize)]
struct Seen {
    name: String,
    width: f64,
    /// Curves, whiskers and cells that cover some of the screen.
    marks: usize,
    /// Texts that reach out of the plot, and pairs that cover each other.
    cut: Vec<String>,
    covered: Vec<String>,
}

fn chromium() -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).map(|folder| folder.join("chromium")).find(|path| path.exists())
}

/// The page after it has been shown, and what came to the console.
fn open(chromium: &Path, page: &Path, width: u32) -> (String, Vec<String>) {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(chromium);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--disable-background-networking", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", home.path().display()))
        .arg(format!("--window-size={width},1000"))
        .arg(format!("file://{}", page.display()));
    let mut browser = Process::start("chromium", home.path(), &mut command);
    assert!(browser.wait(Duration::from_secs(120)).success(), "{}", browser.errors());
    let console =
        browser.errors().lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
    (browser.output(), console)
}

/// Checks the report of `dir` and gives the plots that it has.
fn check(chromium: &Path, dir: &Path) -> Vec<String> {
    let page = report::write(dir).unwrap();
    let (shown, console) = open(chromium, &page, 1280);
    assert!(console.is_empty(), "{console:?}");
    // The page forbids itself to load anything, so an attempt would be told on the console; there is none to make.
    assert!(shown.contains("default-src 'none'"));
    for loader in ["<script", "<img", "<iframe", "<object", " src=", "@import", "url("] {
        assert!(!shown.contains(loader), "{loader}");
    }

    let text = fs::read_to_string(&page).unwrap();
    let (before, after) = text.split_once("<meta http-equiv").unwrap();
    let (_, after) = after.split_once('>').unwrap();
    let probed = dir.join("probed.html");
    fs::write(
        &probed,
        format!("{before}{}<script>{PROBE}</script></body></html>", after.replace("</body>\n</html>", "")),
    )
    .unwrap();
    let mut names = Vec::new();
    for width in [1280, 800, 500] {
        let (shown, console) = open(chromium, &probed, width);
        assert!(console.is_empty(), "{console:?}");
        let (_, found) = shown.split_once("<body>").unwrap();
        let found: Vec<Seen> = serde_json::from_str(found.split_once("</body>").unwrap().0).unwrap();
        assert!(!found.is_empty());
        for plot in &found {
            let Seen { name, width: wide, marks, cut, covered } = plot;
            assert!(*wide > 300.0 && *marks > 0, "{name} at {width}: {plot:?}");
            assert!(cut.is_empty() && covered.is_empty(), "{name} at {width}: {plot:?}");
        }
        names = found.into_iter().map(|plot| plot.name).collect();
    }
    names
}

#[test]
fn reports_are_drawn_and_need_nothing_but_themselves() {
    let Some(chromium) = chromium() else { return bt_tests::skipped("there is no chromium") };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    sample::run(&at("run"), 7, 1.0, true);
    let plots = check(&chromium, &at("run"));
    assert!(plots.len() == 9 && plots.contains(&"chokes".to_owned()), "{plots:?}");

    sample::comparison(&at("compare"), &[("mainline", 1.0), ("random", 1.13), ("prop-share", 1.001)], 1..=3);
    let plots = check(&chromium, &at("compare"));
    assert!(plots.len() >= 12 && plots.contains(&"differences".to_owned()), "{plots:?}");

    for cell in 1..=24u32 {
        let (dir, count) = (at("cells").join(cell.to_string()), cell.div_ceil(2));
        let set = format!("peers.slow.count={count}");
        sample::cell(&dir, u64::from(cell % 2), 1.0 + f64::from(count) / 50.0, false, &set);
    }
    assert_eq!(check(&chromium, &at("cells")).len(), 2);
}
