//! `cargo xtask bench messages`: messages between clients, through the relay, NATS and Mosquitto.

mod large;
mod memory;
mod round_trip;
mod size;
mod stuck;
mod throughput;

use std::{net::SocketAddr, ops::Deref};

use anyhow::Result;
use clap::{Args, ValueEnum};

pub(crate) use self::{round_trip::exchange_between, throughput::pair_rate};
use crate::{
    machine,
    peers::{Peer, Peers},
    process::Process,
    protocol::Protocol,
    results::{RELAY, Row, Section},
    run::{Run, turns},
    syscalls::Counter,
};

/// Messages between clients, through the relay, NATS and Mosquitto
#[derive(Debug, Args)]
pub(crate) struct Messages {
    /// Only these measures
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Measure>,

    /// Of the throughputs, only those of messages of these sizes
    #[arg(long, value_name = "BYTES", value_delimiter = ',')]
    pub(crate) size: Vec<usize>,

    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    Pairs,
    AllToAll,
    RoundTrip,
    Idle,
    Storm,
    Large,
    Stuck,
    Size,
}

/// What the measures are taken with.
struct Bench<'a> {
    run: &'a Run,
    peers: Peers,
    counter: Counter,
    /// The sizes whose throughput is measured; none stands for all.
    sizes: &'a [usize],
    section: Section,
}

/// A message server under measurement; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    /// What it speaks.
    pub(crate) protocol: Protocol,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// How the server of a protocol is called in tables.
fn label(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Relay => RELAY,
        Protocol::Nats => Peer::Nats.label(),
        Protocol::Mqtt => Peer::Mosquitto.label(),
    }
}

/// Takes these measures, or all of them.
///
/// # Errors
/// There is no program to measure. What breaks later is in the section.
pub(crate) fn take(run: &Run, only: &[Measure], sizes: &[usize]) -> Result<Section> {
    let wanted: &[Peer] = if run.no_peer { &[] } else { &[Peer::Nats, Peer::Mosquitto] };
    let mut bench = Bench {
        run,
        peers: Peers::find(run.program()?, wanted),
        counter: Counter::detect(),
        sizes,
        section: Section::new("messages"),
    };
    bench.section.failures = Run::each("messages", only, |measure| bench.take(measure));
    bench.section.about = machine::about("messages", run, &bench.peers.versions(), &bench.counter)?;
    Ok(bench.section)
}

impl Bench<'_> {
    fn take(&mut self, measure: Measure) -> Result<()> {
        match measure {
            Measure::Pairs => throughput::pairs(self),
            Measure::AllToAll => throughput::all_to_all(self),
            Measure::RoundTrip => round_trip::measure(self),
            Measure::Idle => memory::idle(self),
            Measure::Storm => memory::storm(self),
            Measure::Large => large::measure(self),
            Measure::Stuck => stuck::measure(self),
            Measure::Size => size::measure(self),
        }
    }

    fn start(&self, protocol: Protocol) -> Result<Server> {
        self.peers.server(protocol)
    }

    /// Those of these protocols whose servers can be had, the relay first.
    fn present(&self, rivals: &[Protocol]) -> Vec<Protocol> {
        let is_there = |protocol: &Protocol| match protocol {
            Protocol::Relay => true,
            Protocol::Nats => self.peers.get(Peer::Nats).is_ok(),
            Protocol::Mqtt => self.peers.get(Peer::Mosquitto).is_ok(),
        };
        [&[Protocol::Relay], rivals].concat().into_iter().filter(is_there).collect()
    }

    /// Takes a figure from the relay and each of the rivals in turn. The values of all rounds, by who took part.
    fn in_turn<const N: usize>(
        &self,
        rivals: &[Protocol],
        rounds: u32,
        mut take: impl FnMut(&Server, u32) -> Result<[f64; N]>,
    ) -> Result<Taken<N>> {
        let present = self.present(rivals);
        let mut servers = present.iter().map(|p| self.start(*p)).collect::<Result<Vec<_>>>()?;
        let figures = turns(
            &mut servers,
            rounds,
            |server| label(server.protocol),
            |server, round| take(server, round),
        )?;
        Ok(Taken { present, figures })
    }

    /// Fills a row with the figure number `n` of all who took part, and with the reasons of those who did not.
    fn fill<const N: usize>(&self, mut row: Row, taken: &Taken<N>, n: usize) -> Row {
        for (protocol, figures) in taken.present.iter().zip(&taken.figures) {
            row = row.figure(label(*protocol), &figures[n]);
        }
        for peer in [Peer::Nats, Peer::Mosquitto] {
            if let Some(reason) = self.peers.reason(peer) {
                row = row.missing(peer.label(), reason);
            }
        }
        row
    }

    fn add(&mut self, row: Row) {
        self.section.add(row);
    }
}

/// The values of all rounds, by who took part, then by figure.
struct Taken<const N: usize> {
    present: Vec<Protocol>,
    figures: Vec<[Vec<f64>; N]>,
}
