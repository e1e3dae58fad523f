//! `cargo xtask bench messages`: messages between clients, through relay and through nats-server.

mod clients;
mod large;
mod memory;
mod round_trip;
mod size;
mod stuck;
mod throughput;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use xshell::cmd;

use super::{
    machine,
    protocol::Protocol,
    server::Server,
    stats::median,
    table::{Bound, Row, Table, replace_between},
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

    /// How often each figure is taken; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,

    /// How long each throughput is measured
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
    rounds: u32,
    seconds: f64,
    /// The sizes whose throughput is measured; none stands for all.
    sizes: Vec<usize>,
    table: Table,
}

impl Messages {
    pub(super) fn run(self) -> Result<()> {
        ensure!(cfg!(target_os = "linux"), "the benchmark reads /proc and runs on Linux only");
        machine::raise_descriptor_limit();
        let relay = match &self.relay {
            Some(file) => file.clone(),
            None => machine::build()?,
        };
        let peer = if self.no_peer { None } else { Some(venv::nats_server()?) };
        let mut bench = Bench {
            relay,
            peer,
            rounds: self.rounds,
            seconds: self.seconds,
            sizes: self.size.clone(),
            table: Table::default(),
        };
        let measures = if self.only.is_empty() { Measure::value_variants() } else { &self.only };
        for (number, measure) in measures.iter().enumerate() {
            crate::report::step(number + 1, measures.len(), &format!("{measure:?}"));
            bench.take(*measure)?;
        }
        let command =
            if self.save { "cargo xtask bench messages --save" } else { "cargo xtask bench messages" };
        let about = machine::about(command, &version_of(bench.peer.as_deref())?, self.rounds)?;
        let text = format!("{}\n\n{}", about, bench.table.markdown(&["NATS"]));
        println!("\n{text}");
        let kept = project::target_dir().join("bench-messages.json");
        fs::write(&kept, serde_json::to_vec_pretty(&bench.table.json())?)?;
        println!("Also in {}", kept.strip_prefix(project::root()).unwrap_or(&kept).display());
        if self.save {
            replace_between(&project::root().join("docs/performance.md"), "bench messages", &text)?;
        }
        Ok(())
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

    /// Takes a figure from each server in turn, over and over, so that a machine that changes its speed changes it for both.
    /// The medians, by protocol.
    fn in_turn<const N: usize>(
        &self,
        mut take: impl FnMut(&Server, u32) -> Result<[f64; N]>,
    ) -> Result<Vec<[f64; N]>> {
        let servers = self.protocols().iter().map(|p| self.start(*p)).collect::<Result<Vec<_>>>()?;
        let mut figures = vec![Vec::new(); servers.len()];
        for round in 0..self.rounds {
            for (server, figures) in servers.iter().zip(&mut figures) {
                crate::report::transient(&format!(
                    "round {} of {}, {}",
                    round + 1,
                    self.rounds,
                    server.protocol.label()
                ));
                figures.push(take(server, round)?);
            }
        }
        crate::report::clear();
        let middle = |rounds: &Vec<[f64; N]>| {
            std::array::from_fn(|n| median(&rounds.iter().map(|figures| figures[n]).collect::<Vec<_>>()))
        };
        Ok(figures.iter().map(middle).collect())
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
