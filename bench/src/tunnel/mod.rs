//! `cargo xtask bench tunnel`: a local service reached through the relay, bore and rathole, each a server and a client, and through
//! HAProxy.

mod bulk;
mod connect;
mod http;
mod iperf;
mod lossy;
mod memory;
mod reconnects;
mod redis;
mod round_trip;
mod service;
mod site;
mod tunneled;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use clap::{Args, ValueEnum};

pub(crate) use self::{
    connect::visits,
    memory::idle_visitors,
    round_trip::exchange,
    service::Service,
    site::Site,
    tunneled::{Through, Tunneled, start, verified},
};
use crate::{
    machine,
    peers::{Peer, Peers},
    results::{Row, Section},
    run::{Run, turns},
    syscalls::Counter,
};

/// A local service reached through the relay, bore, rathole and HAProxy
#[derive(Debug, Args)]
pub(crate) struct Tunnel {
    /// Only these measures
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Measure>,

    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    Bulk,
    /// Bulk by iperf3
    Iperf,
    Connect,
    /// HTTP requests by wrk, on new connections and on open ones
    Http,
    RoundTrip,
    /// Round trips by redis-benchmark
    Redis,
    Idle,
    Reconnects,
    /// One stream over long cables that lose packets, alone and beside one that stalls; needs root and `ip`
    Lossy,
}

/// Those that take part, and what makes load.
const WANTED: &[Peer] = &[
    Peer::Bore,
    Peer::Rathole,
    Peer::Haproxy,
    Peer::Wrk,
    Peer::Nginx,
    Peer::RedisBenchmark,
    Peer::RedisServer,
    Peer::Iperf3,
];

/// What the measures are taken with.
struct Bench<'a> {
    run: &'a Run,
    peers: Peers,
    counter: Counter,
    /// Who takes part, in the order of their turns; the relay is the first.
    ways: Vec<Through>,
    service: Service,
    section: Section,
    /// What the reader of the table has to know besides.
    note: Option<&'static str>,
}

/// Takes these measures, or all of them.
///
/// # Errors
/// There is no program to measure. What breaks later is in the section.
pub(crate) fn take(run: &Run, only: &[Measure]) -> Result<Section> {
    let peers = Peers::find(run.program()?, if run.no_peer { &[] } else { WANTED });
    let mut bench = Bench {
        run,
        ways: Through::ALL.iter().copied().filter(|way| way.is_there(&peers)).collect(),
        peers,
        counter: Counter::detect(),
        service: Service::start(Ipv4Addr::LOCALHOST)?,
        section: Section::new("tunnel"),
        note: None,
    };
    bench.section.failures = Run::each("tunnel", only, |measure| bench.take(measure));
    let about = machine::about("tunnel", run, &bench.peers.versions(), &bench.counter)?;
    bench.section.about = bench.note.map_or(about.clone(), |note| format!("{about} {note}"));
    Ok(bench.section)
}

impl Bench<'_> {
    fn take(&mut self, measure: Measure) -> Result<()> {
        match measure {
            Measure::Bulk => bulk::measure(self),
            Measure::Iperf => iperf::measure(self),
            Measure::Connect => connect::measure(self),
            Measure::Http => http::measure(self),
            Measure::RoundTrip => round_trip::measure(self),
            Measure::Redis => redis::measure(self),
            Measure::Idle => memory::measure(self),
            Measure::Reconnects => reconnects::measure(self),
            Measure::Lossy => lossy::measure(self),
        }
    }

    /// Takes a figure through each way to our own service in turn.
    fn in_turn<const N: usize>(
        &self,
        rounds: u32,
        take: impl FnMut(&mut Tunneled, u32) -> Result<[f64; N]>,
    ) -> Result<Taken<N>> {
        let start = |way: &Through| verified(&self.peers, *way, self.service.address, Site::LOOPBACK);
        let tunnels = self.ways.iter().map(start).collect::<Result<Vec<_>>>()?;
        Self::through(tunnels, rounds, take)
    }

    /// Takes a figure through each way to another service in turn.
    fn in_turn_to<const N: usize>(
        &self,
        service: SocketAddr,
        rounds: u32,
        take: impl FnMut(&mut Tunneled, u32) -> Result<[f64; N]>,
    ) -> Result<Taken<N>> {
        let start = |way: &Through| start(&self.peers, *way, service, Site::LOOPBACK);
        let tunnels = self.ways.iter().map(start).collect::<Result<Vec<_>>>()?;
        Self::through(tunnels, rounds, take)
    }

    /// Takes a figure through each of these in turn.
    fn through<const N: usize>(
        mut tunnels: Vec<Tunneled>,
        rounds: u32,
        take: impl FnMut(&mut Tunneled, u32) -> Result<[f64; N]>,
    ) -> Result<Taken<N>> {
        let figures = turns(&mut tunnels, rounds, |tunnel| tunnel.way.label(), take)?;
        Ok(Taken { ways: tunnels.iter().map(|tunnel| tunnel.way).collect(), figures })
    }

    /// Adds a row with the figure number `n` of all who took part, and with the reasons of those who did not.
    fn add<const N: usize>(&mut self, mut row: Row, taken: &Taken<N>, n: usize) {
        for (way, figures) in taken.ways.iter().zip(&taken.figures) {
            // The service alone has no process to look at.
            if *way != Through::Nothing || figures[n].iter().any(|value| value.is_finite()) {
                row = row.figure(way.label(), &figures[n]);
            }
        }
        for way in Through::ALL {
            if let Some(reason) = way.peer().and_then(|peer| self.peers.reason(peer)) {
                row = row.missing(way.label(), reason);
            }
        }
        self.section.add(row);
    }

    /// Adds a row that says why there is no figure.
    fn not_measured(&mut self, row: Row, reason: &str) {
        self.section.add(row.missing(Through::Relay.label(), reason));
    }
}

/// The values of all rounds, by who took part, then by figure.
struct Taken<const N: usize> {
    ways: Vec<Through>,
    figures: Vec<[Vec<f64>; N]>,
}
