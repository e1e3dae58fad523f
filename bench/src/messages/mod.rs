//! `cargo xtask bench messages`: messages between clients, through relay and through nats-server.

mod clients;
mod large;
mod memory;
mod round_trip;
mod size;
mod stuck;
mod throughput;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use xshell::cmd;

use super::{
    protocol::Protocol,
    run::Run,
    server::Server,
    table::{Bound, Row, Table},
    venv,
};
use crate::project;

/// Messages between clients, through relay and through nats-server
#[derive(Debug, Args)]
pub(super) struct Messages {
    /// Only these measures
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measure>,

    /// Of the throughputs, only those of messages of these sizes
    #[arg(long, value_name = "BYTES", value_delimiter = ',')]
    size: Vec<usize>,

    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
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
struct Bench {
    relay: PathBuf,
    /// nats-server, unless the relay is measured alone.
    peer: Option<PathBuf>,
    run: Run,
    /// The sizes whose throughput is measured; none stands for all.
    sizes: Vec<usize>,
    table: Table,
}

impl Messages {
    pub(super) fn run(self) -> Result<()> {
        let relay = self.run.relay()?;
        let peer = if self.run.no_peer { None } else { Some(venv::nats_server()?) };
        let mut bench = Bench { relay, peer, run: self.run, sizes: self.size, table: Table::default() };
        Run::each(&self.only, |measure| bench.take(measure))?;
        bench.run.show("messages", &version_of(bench.peer.as_deref())?, None, &bench.table, &["NATS"])
    }
}

impl Bench {
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
        match (protocol, &self.peer) {
            (Protocol::Nats, Some(peer)) => Server::start(peer, protocol),
            (Protocol::Nats, None) => anyhow::bail!("there is no peer in this run"),
            (Protocol::Relay, _) => Server::start(&self.relay, protocol),
        }
    }

    /// The servers that take part, in the order of their turns.
    fn protocols(&self) -> &'static [Protocol] {
        if self.peer.is_some() { &[Protocol::Relay, Protocol::Nats] } else { &[Protocol::Relay] }
    }

    /// Takes a figure from each server in turn. The medians, by protocol.
    fn in_turn<const N: usize>(
        &self,
        take: impl FnMut(&Server, u32) -> Result<[f64; N]>,
    ) -> Result<Vec<[f64; N]>> {
        let servers = self.protocols().iter().map(|p| self.start(*p)).collect::<Result<Vec<_>>>()?;
        self.run.turns(&servers, |server| server.protocol.label(), take)
    }

    /// Adds a row in which the relay's figure is compared with the peer's.
    fn compare(
        &mut self,
        measure: String,
        figures: (f64, Option<f64>),
        show: impl Fn(f64) -> String,
        bound: Bound,
    ) {
        let (relay, peer) = figures;
        let ratio = peer.map(|peer| relay / peer);
        let (words, holds) = bound.judge(ratio);
        self.add(Row {
            measure,
            relay: show(relay),
            peers: peer.map(show).into_iter().collect(),
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

    fn add(&mut self, row: Row) {
        println!(
            "  {}: {}{}",
            row.measure,
            row.relay,
            row.peers.first().map(|peer| format!(", NATS {peer}")).unwrap_or_default()
        );
        self.table.rows.push(row);
    }
}

fn version_of(peer: Option<&Path>) -> Result<String> {
    let Some(program) = peer else { return Ok("no peer".to_owned()) };
    let sh = project::shell()?;
    cmd!(sh, "{program} --version").quiet().read().context("nats-server does not run")
}
