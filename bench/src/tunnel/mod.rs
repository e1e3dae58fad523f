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

use std::net::Ipv4Addr;

use anyhow::Result;
use clap::{Args, ValueEnum};

use self::{
    service::Service,
    site::Site,
    through::{Programs, Through, Tunneled},
};
use super::{
    run::Run,
    table::{Bound, Row, Table},
};

/// A local service reached through relay, bore and rathole
#[derive(Debug, Args)]
pub(super) struct Tunnel {
    /// Only these measures
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measure>,

    #[command(flatten)]
    run: Run,
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
    run: Run,
    table: Table,
    /// What the reader of the table has to know besides.
    note: Option<&'static str>,
}

impl Tunnel {
    pub(super) fn run(self) -> Result<()> {
        let programs = Programs::find(self.run.relay()?, self.run.no_peer)?;
        let mut bench = Bench {
            ways: programs.ways(),
            programs,
            service: Service::start(Ipv4Addr::LOCALHOST)?,
            run: self.run,
            table: Table::default(),
            note: None,
        };
        Run::each(&self.only, |measure| bench.take(measure))?;
        let peers: Vec<_> = bench.ways.iter().skip(1).map(|way| way.label()).collect();
        bench.run.show("tunnel", &bench.programs.versions()?, bench.note, &bench.table, &peers)
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

    /// Takes a figure through each tunnel in turn. The medians, in the order of the ways.
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
        self.run.turns(tunnels, |tunnel| tunnel.way.label(), |tunnel, _| take(tunnel))
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
