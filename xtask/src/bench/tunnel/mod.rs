//! `cargo xtask bench tunnel`: a local service reached through relay, through bore and through rathole, each a server and a client.

mod bulk;
mod connect;
#[cfg(target_os = "linux")]
mod lossy;
mod memory;
mod reconnects;
mod round_trip;
mod service;
mod site;
mod through;

use std::{fs, net::Ipv4Addr, path::PathBuf};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use self::{
    service::Service,
    site::Site,
    through::{Programs, Through, Tunneled},
};
use super::{
    machine,
    stats::median,
    table::{Bound, Row, Table, replace_between},
};
use crate::project;

/// A local service reached through relay, bore and rathole
#[derive(Debug, Args)]
pub(super) struct Tunnel {
    /// Only these measures
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measure>,

    /// How often each figure is taken; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,

    /// How long each flow of bulk is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,

    /// The relay to measure [default: a release build of this tree]
    #[arg(long, value_name = "FILE")]
    relay: Option<PathBuf>,

    /// Measure the relay alone
    #[arg(long)]
    no_peer: bool,

    /// Keep the table in docs/performance.md
    #[arg(long)]
    save: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    Bulk,
    Connect,
    RoundTrip,
    Idle,
    Reconnects,
    /// One stream over long cables that lose packets, alone and beside one that stalls; needs root and `ip`
    Lossy,
}

/// What the measures are taken with.
struct Bench {
    programs: Programs,
    /// Who takes part, in the order of their turns; the relay is the first.
    ways: Vec<Through>,
    service: Service,
    rounds: u32,
    seconds: f64,
    table: Table,
    /// What the reader of the table has to know besides.
    note: Option<&'static str>,
}

impl Tunnel {
    pub(super) fn run(self) -> Result<()> {
        ensure!(cfg!(target_os = "linux"), "the benchmark reads /proc and runs on Linux only");
        machine::raise_descriptor_limit();
        let relay = match &self.relay {
            Some(file) => file.clone(),
            None => machine::build()?,
        };
        let programs = Programs::find(relay, self.no_peer)?;
        let mut bench = Bench {
            ways: programs.ways(),
            programs,
            service: Service::start(Ipv4Addr::LOCALHOST)?,
            rounds: self.rounds,
            seconds: self.seconds,
            table: Table::default(),
            note: None,
        };
        let measures = if self.only.is_empty() { Measure::value_variants() } else { &self.only };
        for (number, measure) in measures.iter().enumerate() {
            crate::report::step(number + 1, measures.len(), &format!("{measure:?}"));
            bench.take(*measure)?;
        }
        let command = if self.save { "cargo xtask bench tunnel --save" } else { "cargo xtask bench tunnel" };
        let about = machine::about(command, &bench.programs.versions()?, self.rounds)?;
        let peers: Vec<_> = bench.ways.iter().skip(1).map(|way| way.label()).collect();
        let note = bench.note.map_or_else(String::new, |note| format!(" {note}"));
        let text = format!("{about}{note}\n\n{}", bench.table.markdown(&peers));
        println!("\n{text}");
        let kept = project::target_dir().join("bench-tunnel.json");
        fs::write(&kept, serde_json::to_vec_pretty(&bench.table.json())?)?;
        println!("Also in {}", kept.strip_prefix(project::root()).unwrap_or(&kept).display());
        if self.save {
            replace_between(&project::root().join("docs/performance.md"), "bench tunnel", &text)?;
        }
        Ok(())
    }
}

impl Bench {
    fn take(&mut self, measure: Measure) -> Result<()> {
        match measure {
            Measure::Bulk => bulk::measure(self),
            Measure::Connect => connect::measure(self),
            Measure::RoundTrip => round_trip::measure(self),
            Measure::Idle => memory::measure(self),
            Measure::Reconnects => reconnects::measure(self),
            #[cfg(target_os = "linux")]
            Measure::Lossy => lossy::measure(self),
            #[cfg(not(target_os = "linux"))]
            Measure::Lossy => Ok(()),
        }
    }

    /// Makes the service reachable that way.
    fn start(&self, way: Through) -> Result<Tunneled> {
        self.programs.start(way, self.service.address, Site::LOOPBACK)
    }

    /// Takes a figure through each tunnel in turn, over and over, so that a machine that changes its speed changes it for all.
    /// The medians, in the order of the ways.
    fn in_turn<const N: usize>(
        &self,
        take: impl FnMut(&Tunneled) -> Result<[f64; N]>,
    ) -> Result<Vec<[f64; N]>> {
        let tunnels = self.ways.iter().map(|way| self.start(*way)).collect::<Result<Vec<_>>>()?;
        self.turns(&tunnels, take)
    }

    /// The same through tunnels that are there.
    fn turns<const N: usize>(
        &self,
        tunnels: &[Tunneled],
        mut take: impl FnMut(&Tunneled) -> Result<[f64; N]>,
    ) -> Result<Vec<[f64; N]>> {
        let mut figures = vec![Vec::new(); tunnels.len()];
        for round in 1..=self.rounds {
            for (tunnel, figures) in tunnels.iter().zip(&mut figures) {
                let label = tunnel.way.label();
                crate::report::transient(&format!("round {round} of {}, {label}", self.rounds));
                figures.push(take(tunnel)?);
            }
        }
        crate::report::clear();
        let middle = |rounds: &Vec<[f64; N]>| {
            std::array::from_fn(|n| median(&rounds.iter().map(|figures| figures[n]).collect::<Vec<_>>()))
        };
        Ok(figures.iter().map(middle).collect())
    }

    /// Adds a row. The relay's figure is compared with the best of `rivals`; one that is not a number belongs to a way that took no part.
    fn compare(
        &mut self,
        measure: &str,
        figures: &[f64],
        show: impl Fn(f64) -> String,
        rivals: &[Through],
        bound: Bound,
    ) {
        let of_rivals =
            self.ways.iter().zip(figures).filter(|(way, _)| rivals.contains(way)).map(|(_, f)| *f);
        let best = match bound {
            Bound::AtLeast(_) => of_rivals.reduce(f64::max),
            Bound::AtMost(_) | Bound::None => of_rivals.reduce(f64::min),
        };
        let ratio = best.map(|best| figures[0] / best);
        let (words, holds) = bound.judge(ratio);
        let cell = |figure: &f64| if figure.is_nan() { String::new() } else { show(*figure) };
        let peers = figures.iter().skip(1).map(cell).collect();
        self.add(Row {
            measure: measure.to_owned(),
            relay: show(figures[0]),
            peers,
            ratio,
            bound: words,
            holds,
        });
    }

    /// Adds a row for the relay alone, with an absolute bound.
    fn absolute(&mut self, measure: &str, relay: String, bound: &str, holds: bool) {
        let (measure, bound) = (measure.to_owned(), bound.to_owned());
        self.add(Row { measure, relay, peers: Vec::new(), ratio: None, bound, holds: Some(holds) });
    }

    /// Adds a row that says why there is no figure.
    fn not_measured(&mut self, measure: &str, reason: &str) {
        let (measure, relay) = (measure.to_owned(), format!("not measured: {reason}"));
        self.add(Row { measure, relay, peers: Vec::new(), ratio: None, bound: String::new(), holds: None });
    }

    fn add(&mut self, row: Row) {
        println!("  {}: {}", row.measure, row.relay);
        for (way, figure) in self.ways.iter().skip(1).zip(&row.peers).filter(|(_, figure)| !figure.is_empty())
        {
            println!("    {}: {figure}", way.label());
        }
        self.table.rows.push(row);
    }
}
