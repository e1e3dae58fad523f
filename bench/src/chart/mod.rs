//! The charts of docs/performance.md: which rows each shows. They have no background and mid-tone colours, so that they can be read on a
//! light page and on a dark one.

mod bars;
mod canvas;
mod lines;

use anyhow::Result;

use crate::results::{Row, Section};

/// A chart.
struct Chart {
    /// The name of its file, without `.svg`.
    name: &'static str,
    title: &'static str,
    suite: &'static str,
    /// How the measures begin that it shows, in this order.
    measures: &'static [&'static str],
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// A group of bars for each row, in a scale of its own.
    Bars,
    /// A line for each row, by how many others there are.
    Lines,
}

const CHARTS: &[Chart] = &[
    Chart {
        name: "messages-rate",
        title: "Messages per second",
        suite: "messages",
        measures: &["messages/s"],
        kind: Kind::Bars,
    },
    Chart {
        name: "messages-round-trip",
        title: "Round trip of two clients",
        suite: "messages",
        measures: &["round trip of two clients"],
        kind: Kind::Bars,
    },
    Chart {
        name: "messages-cost",
        title: "What a message costs the server",
        suite: "messages",
        measures: &["server CPU per message", "server system calls per message"],
        kind: Kind::Bars,
    },
    Chart {
        name: "messages-memory",
        title: "Memory of the server",
        suite: "messages",
        measures: &["resident memory per idle client", "resident memory at start"],
        kind: Kind::Bars,
    },
    Chart {
        name: "tunnel-bulk",
        title: "Bulk through a tunnel",
        suite: "tunnel",
        measures: &["bulk"],
        kind: Kind::Bars,
    },
    Chart {
        name: "tunnel-round-trip",
        title: "New connections and round trips through a tunnel",
        suite: "tunnel",
        measures: &["new connection", "round trip", "redis-benchmark"],
        kind: Kind::Bars,
    },
    Chart {
        name: "tunnel-http",
        title: "HTTP through a tunnel, by wrk",
        suite: "tunnel",
        measures: &["wrk"],
        kind: Kind::Bars,
    },
    Chart {
        name: "tunnel-cost",
        title: "What a tunnel costs",
        suite: "tunnel",
        measures: &["CPU of server and client per", "system calls", "resident memory"],
        kind: Kind::Bars,
    },
    Chart {
        name: "tunnel-long-path",
        title: "One stream over a long path that loses packets",
        suite: "tunnel",
        measures: &["1 stream"],
        kind: Kind::Bars,
    },
    Chart {
        name: "scale",
        title: "Beside idle names and streams, relative to none (lower is better)",
        suite: "scale",
        measures: &[
            "round trip of two clients, 64 B, p50",
            "messages/s",
            "connecting and registering, p50",
            "round trip on an open stream, 64 B, p50",
            "new connection to first answer, p50",
        ],
        kind: Kind::Lines,
    },
];

/// The names of all charts.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CHARTS.iter().map(|chart| chart.name)
}

/// Every chart, by name, as SVG.
///
/// # Errors
/// It cannot be drawn.
pub(crate) fn all(sections: &[Section]) -> Result<Vec<(&'static str, String)>> {
    let drawn = CHARTS.iter().map(|chart| Ok((chart.name, chart.draw(sections)?)));
    drawn.collect()
}

impl Chart {
    fn draw(&self, sections: &[Section]) -> Result<String> {
        let rows = self.rows(sections);
        match self.kind {
            Kind::Bars => bars::draw(self.title, &rows),
            Kind::Lines => lines::draw(self.title, &rows),
        }
    }

    /// The rows that it shows.
    fn rows<'a>(&self, sections: &'a [Section]) -> Vec<&'a Row> {
        let rows = || sections.iter().filter(|section| section.name == self.suite).flat_map(|s| &s.rows);
        let of = |start: &'static str| rows().filter(move |row| row.measure.starts_with(start));
        self.measures.iter().flat_map(|start| of(start)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::Better, unit::Unit};

    fn section(measures: &[&str]) -> Section {
        let row = |measure: &&str| {
            Row::new(*measure, Unit::Time, Better::Lower)
                .figure("relay", &[1e-4, 2e-4, 3e-4])
                .figure("NATS & <co>", &[4e-4, 4e-4, 4e-4])
                .against(&["NATS & <co>"])
        };
        Section {
            name: "messages".into(),
            about: String::new(),
            rows: measures.iter().map(row).collect(),
            failures: vec![],
        }
    }

    #[test]
    fn a_chart_shows_its_rows_in_its_order() {
        let section = section(&["server system calls per message, 1", "other", "server CPU per message, 1"]);
        let chart = CHARTS.iter().find(|chart| chart.name == "messages-cost").unwrap();
        let sections = [section];
        let rows: Vec<_> = chart.rows(&sections).iter().map(|row| row.measure.as_str()).collect();
        assert_eq!(rows, ["server CPU per message, 1", "server system calls per message, 1"]);
    }

    #[test]
    fn charts_name_every_figure_and_have_no_background() {
        let all = all(&[section(&["round trip of two clients, p50"])]).unwrap();
        assert_eq!(all.len(), CHARTS.len());
        let (_, svg) = all.iter().find(|(name, _)| *name == "messages-round-trip").unwrap();
        for text in [
            "<title>Round trip of two clients</title>",
            "200 us",
            "400 us",
            "NATS &amp; &lt;co&gt;",
            "0.50 [0.25, 0.75]",
        ] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        // Two bars, and nothing behind them.
        assert_eq!(svg.matches("<rect").count(), 2, "{svg}");
    }
}
