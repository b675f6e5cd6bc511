//! The tables of a run as CSV, written and read back.
//!
//! Figures are written with the fewest digits that give the same figure again; what is not defined is empty.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::str::FromStr;

use csv::{Reader, StringRecord, Writer};

use crate::measure::{METRICS, Of, PairRow, PeerRow, SeriesRow};

/// The columns that every table of peers has; the metrics follow.
const PEER_COLUMNS: [&str; 8] = [
    "peer",
    "class",
    "arrived_s",
    "completed_s",
    "left_s",
    "uploaded_bytes",
    "downloaded_bytes",
    "wasted_bytes",
];
const SERIES_COLUMNS: [&str; 4] = ["t", "scope", "metric", "value"];
const PAIR_COLUMNS: [&str; 5] = ["from", "to", "unchoked_s", "bytes", "share"];

pub(super) fn write_peers(out: impl Write, rows: &[PeerRow]) -> io::Result<()> {
    let of_peers = METRICS.iter().filter(|metric| metric.of == Of::Peer).map(|metric| metric.name);
    let metrics: Vec<&str> = of_peers.filter(|name| !PEER_COLUMNS.contains(name)).collect();
    let mut table = Writer::from_writer(out);
    table.write_record(PEER_COLUMNS.iter().chain(&metrics))?;
    for row in rows {
        let own = [
            row.peer.to_string(),
            row.class.clone(),
            row.arrived_s.to_string(),
            maybe(row.completed_s.as_ref()),
            maybe(row.left_s.as_ref()),
            row.uploaded_bytes.to_string(),
            row.downloaded_bytes.to_string(),
            row.wasted_bytes.to_string(),
        ];
        table
            .write_record(own.into_iter().chain(metrics.iter().map(|name| maybe(row.metrics.get(*name)))))?;
    }
    table.flush()
}

pub(super) fn write_series(out: impl Write, rows: &[SeriesRow]) -> io::Result<()> {
    let mut table = Writer::from_writer(out);
    table.write_record(SERIES_COLUMNS)?;
    for row in rows {
        table.write_record([&row.t.to_string(), &row.scope, &row.metric, &row.value.to_string()])?;
    }
    table.flush()
}

pub(super) fn write_pairs(out: impl Write, rows: &[PairRow]) -> io::Result<()> {
    let mut table = Writer::from_writer(out);
    table.write_record(PAIR_COLUMNS)?;
    for row in rows {
        let (time, bytes) = (row.unchoked_s.to_string(), row.bytes.to_string());
        table.write_record([&row.from, &row.to, &time, &bytes, &maybe(row.share.as_ref())])?;
    }
    table.flush()
}

pub(super) fn read_peers(from: impl Read) -> io::Result<Vec<PeerRow>> {
    let mut table = Table::open(from, &PEER_COLUMNS)?;
    let metrics: Vec<String> =
        table.columns.iter().filter(|name| !PEER_COLUMNS[..7].contains(&name.as_str())).cloned().collect();
    table.rows(|row| {
        let mut figures = BTreeMap::new();
        for name in &metrics {
            figures.extend(row.maybe(name)?.map(|value| (name.clone(), value)));
        }
        Ok(PeerRow {
            peer: row.get("peer")?,
            class: row.text("class").to_owned(),
            arrived_s: row.get("arrived_s")?,
            completed_s: row.maybe("completed_s")?,
            left_s: row.maybe("left_s")?,
            uploaded_bytes: row.get("uploaded_bytes")?,
            downloaded_bytes: row.get("downloaded_bytes")?,
            wasted_bytes: row.get("wasted_bytes")?,
            metrics: figures,
        })
    })
}

pub(super) fn read_series(from: impl Read) -> io::Result<Vec<SeriesRow>> {
    Table::open(from, &SERIES_COLUMNS)?.rows(|row| {
        Ok(SeriesRow {
            t: row.get("t")?,
            scope: row.text("scope").to_owned(),
            metric: row.text("metric").to_owned(),
            value: row.get("value")?,
        })
    })
}

pub(super) fn read_pairs(from: impl Read) -> io::Result<Vec<PairRow>> {
    Table::open(from, &PAIR_COLUMNS)?.rows(|row| {
        Ok(PairRow {
            from: row.text("from").to_owned(),
            to: row.text("to").to_owned(),
            unchoked_s: row.get("unchoked_s")?,
            bytes: row.get("bytes")?,
            share: row.maybe("share")?,
        })
    })
}

fn maybe(value: Option<&f64>) -> String {
    value.map(f64::to_string).unwrap_or_default()
}

/// A table that is read, column by name.
struct Table<R> {
    reader: Reader<R>,
    columns: Vec<String>,
}

/// A row of it.
struct Row<'a> {
    columns: &'a [String],
    cells: StringRecord,
}

impl<R: Read> Table<R> {
    fn open(from: R, needed: &[&str]) -> io::Result<Self> {
        let mut reader = Reader::from_reader(from);
        let columns: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
        match needed.iter().find(|name| !columns.iter().any(|column| column == **name)) {
            Some(name) => Err(io::Error::other(format!("line 1: there is no column {name}"))),
            None => Ok(Self { reader, columns }),
        }
    }

    fn rows<T>(&mut self, make: impl Fn(&Row<'_>) -> io::Result<T>) -> io::Result<Vec<T>> {
        let rows = self.reader.records().map(|cells| make(&Row { columns: &self.columns, cells: cells? }));
        rows.collect()
    }
}

impl Row<'_> {
    fn text(&self, name: &str) -> &str {
        let at = self.columns.iter().position(|column| column == name);
        at.and_then(|at| self.cells.get(at)).unwrap_or_default()
    }

    fn get<T: FromStr>(&self, name: &str) -> io::Result<T> {
        let line = self.cells.position().map_or(0, csv::Position::line);
        let text = self.text(name);
        text.parse()
            .map_err(|_| io::Error::other(format!("line {line}: {name} is {text:?}; a number is wanted")))
    }

    fn maybe(&self, name: &str) -> io::Result<Option<f64>> {
        if self.text(name).is_empty() { Ok(None) } else { self.get(name).map(Some) }
    }
}
