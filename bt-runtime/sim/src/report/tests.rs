use std::fs;
use std::path::Path;

use super::write;

mod sample;

/// The page of a folder, and that it is the same when it is made again.
fn page(dir: &Path) -> String {
    let page = fs::read_to_string(write(dir).unwrap()).unwrap();
    assert_eq!(fs::read_to_string(write(dir).unwrap()).unwrap(), page, "the same files make the same page");
    for forbidden in ["NaN", "inf\"", "<script", "<i>", "<& ", "http:", "https:", "@import", "url("] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    page
}

/// The plots of a page have files beside them, with data.
fn plots(dir: &Path) -> Vec<String> {
    let files =
        fs::read_dir(dir.join("plots")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        files.filter_map(|name| name.strip_suffix(".svg").map(str::to_owned)).collect();
    names.sort();
    for name in &names {
        let read = |end: &str| fs::read_to_string(dir.join("plots").join(format!("{name}.{end}"))).unwrap();
        assert!(read("svg").starts_with("<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\""));
        assert!(read("csv").lines().count() > 1 && read("gp").contains(&format!("plot '{name}.csv'")));
    }
    names
}

#[test]
fn a_run_is_reported_with_all_its_plots() {
    let dir = tempfile::tempdir().unwrap();
    sample::run(dir.path(), 7, 1.0, true);
    let page = page(dir.path());
    let wanted = [
        "availability",
        "chokes",
        "completion",
        "download-utilization",
        "entropy",
        "normalized-upload",
        "population",
        "share-ratio",
        "upload-utilization",
    ];
    assert_eq!(plots(dir.path()), wanted);
    assert_eq!(page.matches("<figure").count(), wanted.len());
    for text in [
        "slow &lt;&amp; &quot;odd&quot;&gt; (8 of 68 unfinished)",
        "192 of 200",
        "<code>startup_delay</code>: no playhead in the log",
        "lower bound 1310",
        "a_metric_of_tomorrow",
        "0000000000000007",
        "bharambe-3 &lt;i&gt;",
        "bt-sim 0.1.0",
        "bt-lab run &#39;bharambe-3 &lt;i&gt;&#39; --set tracker.reply=50 --set network.delay=0 --seed 7 --out DIR",
        "name = &quot;&lt;script&gt;&quot;",
        "<code>network.delay=0</code>",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn a_comparison_has_a_forest_plot_and_a_table_of_differences() {
    let dir = tempfile::tempdir().unwrap();
    sample::comparison(dir.path(), &[("mainline", 1.0), ("random", 1.13), ("prop-share", 1.001)], 1..=3);
    let page = page(dir.path());
    let plots = plots(dir.path());
    for name in
        ["differences", "completion", "completion-1", "means-completion-time", "chokes-3", "population"]
    {
        assert!(plots.iter().any(|plot| plot == name), "{name}: {plots:?}");
    }
    for text in [
        "random is <b>13.0 % higher</b> than mainline (95 % interval 11.8 % to 14.2 %, paired over 3 seeds)",
        "no difference shown between prop-share and mainline",
        "p (Holm)",
        "seeds 1..3",
        "--set network.delay=0 --profile mainline --profile random --profile prop-share --seeds 1..3 --out DIR",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn a_figure_that_is_not_defined_in_every_run_says_in_how_many_it_is() {
    let dir = tempfile::tempdir().unwrap();
    sample::comparison(dir.path(), &[("mainline", 1.0), ("random", 1.001)], 1..=3);
    let file = dir.path().join("compare.json");
    let mut compare: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    compare["runs"] = serde_json::json!({"mainline": {"runs": 3}, "random": {"runs": 3}});
    for (metric, n) in [("completion_time", 2), ("jain_ratio", 3)] {
        let rows = &mut compare["metrics"][metric]["rows"];
        (rows[0]["n"], rows[1]["n"], rows[1]["difference"]["n"]) = (3.into(), n.into(), n.into());
    }
    fs::write(&file, compare.to_string()).unwrap();
    let page = page(dir.path());
    assert!(page.contains("over the <b>2 of 3</b> pairs of runs in which it is defined"), "in the sentence");
    assert!(page.contains("<td><b>2 of 3</b></td>"), "in the table");
    assert!(page.contains("] in 2 of 3</text>"), "in the plot");
    assert!(page.contains("paired over 3 seeds"), "of the other figure");
}

#[test]
fn many_cells_are_rows_and_not_curves() {
    let dir = tempfile::tempdir().unwrap();
    for cell in 1..=24u32 {
        let (folder, count) = (dir.path().join("cells").join(cell.to_string()), cell.div_ceil(2));
        let set = format!("peers.slow.count={count}");
        sample::cell(&folder, u64::from(cell % 2), 1.0 + f64::from(count) / 50.0, false, &set);
    }
    let page = page(dir.path());
    assert_eq!(plots(dir.path()), ["means-completion-time", "means-upload-utilization"]);
    let row = |count| page.find(&format!("<tr><th scope=\"row\">peers.slow.count={count}</th>"));
    let places: Vec<_> = (1..=12).filter_map(row).collect();
    assert!(places.len() == 12 && places.is_sorted(), "a row for the seeds of a cell, by number: {places:?}");
}

#[test]
fn the_bound_is_drawn_only_where_all_arrive_at_once() {
    let dir = tempfile::tempdir().unwrap();
    sample::run(dir.path(), 7, 1.0, false);
    assert!(page(dir.path()).contains("Dashed: the lower bound"));
    let peers = fs::read_to_string(dir.path().join("peers.csv")).unwrap();
    fs::write(dir.path().join("peers.csv"), peers.replace("\n5,fast,0,", "\n5,fast,3,")).unwrap();
    let page = page(dir.path());
    assert!(!page.contains("Dashed: the lower bound") && page.contains("Last one over the bound"));
}

#[test]
fn plots_of_an_earlier_run_go_and_what_is_somebody_s_own_stays() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join("plots").join(name);
    sample::run(dir.path(), 7, 1.0, true);
    write(dir.path()).unwrap();
    for (name, text) in [
        ("completion-gnuplot.svg", "drawn"),
        ("chokes-gnuplot.svg", "drawn"),
        ("mine.svg", ""),
        ("mine.csv", ""),
        ("mine.gp", "plot 'mine.csv'"),
    ] {
        fs::write(at(name), text).unwrap();
    }
    fs::write(dir.path().join("choke_matrix.csv"), "from,to,unchoked_s,bytes,share\n").unwrap();
    write(dir.path()).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(at("")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    left.retain(|name| name.starts_with("chokes") || name.starts_with("mine") || name.contains("gnuplot"));
    left.sort();
    assert_eq!(left, ["completion-gnuplot.svg", "mine.csv", "mine.gp", "mine.svg"]);
}

#[test]
fn what_is_wrong_is_said_in_one_line_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let told = |wanted: &str| {
        let message = write(dir.path()).unwrap_err().to_string();
        assert!(message.contains(wanted) && !message.contains('\n'), "{message}");
    };
    told("nothing to report");
    sample::run(dir.path(), 1, 1.0, false);
    for (file, text, wanted) in [
        ("peers.csv", "peer,class\n1,a\n", "peers.csv\": line 1: there is no column arrived_s"),
        ("series.csv", "t,scope,metric,value\n1,a,b,c\n", "series.csv\": line 2: value is \"c\""),
        ("choke_matrix.csv", "from,to\n", "choke_matrix.csv\": line 1: there is no column unchoked_s"),
        ("summary.json", "{\"overall\": 1}", "summary.json\": invalid type"),
        ("manifest.json", "{", "manifest.json\": EOF"),
    ] {
        let good = fs::read_to_string(at(file)).unwrap();
        fs::write(at(file), text).unwrap();
        told(wanted);
        fs::remove_file(at(file)).unwrap();
        if file == "manifest.json" {
            told("nothing to report")
        } else {
            told(&format!("{file}\": No such file"))
        }
        fs::write(at(file), good).unwrap();
    }
    fs::write(at("compare.json"), "{\"metrics\": {\"a\": {}}}").unwrap();
    told("compare.json: `metrics.a` has no list `rows`");
}

#[test]
fn a_swarm_of_nobody_still_has_a_page() {
    let dir = tempfile::tempdir().unwrap();
    sample::run(dir.path(), 1, 1.0, false);
    for (file, columns) in [
        (
            "peers.csv",
            "peer,class,arrived_s,completed_s,left_s,uploaded_bytes,downloaded_bytes,wasted_bytes\n",
        ),
        ("series.csv", "t,scope,metric,value\n"),
        ("choke_matrix.csv", "from,to,unchoked_s,bytes,share\n"),
    ] {
        fs::write(dir.path().join(file), columns).unwrap();
    }
    fs::write(
        dir.path().join("summary.json"),
        r#"{"overall": {}, "classes": {}, "end_s": 0, "finished": 0, "censored": 0, "counts": {}}"#,
    )
    .unwrap();
    assert!(page(dir.path()).contains("0 of 0"));
    assert!(plots(dir.path()).is_empty());
}
