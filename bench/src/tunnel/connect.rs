//! How long a visitor waits for its first answer, and what a visit costs.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Instant,
};

use anyhow::Result;

use super::{
    Bench, Tunneled,
    service::{Wish, answer, visit},
    tunneled::TUNNELS,
};
use crate::{
    results::{Better, Bound, Row},
    stats::percentile,
    syscalls::Counter,
    unit::Unit,
};

const VISITS: usize = 1_000;
/// The first visits find out how many connections to keep in store.
const UNCOUNTED: usize = 50;
/// Rounds in which system calls are counted, which takes time of its own.
const COUNTED_ROUNDS: u32 = 3;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let number = bench.run.operations(VISITS);
    let taken = bench.in_turn(bench.run.rounds(), |tunnel, round| {
        let counter = (round < COUNTED_ROUNDS).then_some(&bench.counter);
        let Visits { p50, p99, cpu } = visits(tunnel, number)?;
        Ok([p50, p99, cpu, counter.map_or(Ok(f64::NAN), |counter| calls(tunnel, counter))?])
    })?;
    let row = |what: &str, unit| Row::new(what, unit, Better::Lower).against(TUNNELS);
    let p50 = row("new connection to first answer, 64 B, p50", Unit::Time).bound(Bound::AtMostTimes(1.0));
    bench.add(p50, &taken, 0);
    bench.add(row("new connection to first answer, 64 B, p99", Unit::Time), &taken, 1);
    bench.add(row("CPU of server and client per visit", Unit::Time), &taken, 2);
    bench.add(row("system calls of server and client per visit", Unit::Count), &taken, 3);
    Ok(())
}

/// Visitors that came one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visits {
    /// Seconds to the first answer.
    pub(crate) p50: f64,
    /// Seconds to the first answer.
    pub(crate) p99: f64,
    /// Processor time of the tunnel for each, in seconds.
    pub(crate) cpu: f64,
}

/// Lets visitors come, one after the other.
///
/// # Errors
/// One gets no answer.
pub(crate) fn visits(tunnel: &Tunneled, number: usize) -> Result<Visits> {
    for _ in 0..UNCOUNTED {
        come_and_go(tunnel.address)?;
    }
    let mut times = Vec::with_capacity(number);
    let before = tunnel.cpu()?;
    for _ in 0..number {
        let start = Instant::now();
        come_and_go(tunnel.address)?;
        times.push(start.elapsed().as_nanos() as u64);
    }
    let cpu = (tunnel.cpu()? - before) / number as f64;
    times.sort_unstable();
    let [p50, p99] = [0.5, 0.99].map(|share| percentile(&times, share) as f64 / 1e9);
    Ok(Visits { p50, p99, cpu })
}

fn come_and_go(address: SocketAddr) -> Result<()> {
    answer(&mut visit(address, Wish::Echo)?)
}

/// The tunnel's system calls a visit.
fn calls(tunnel: &Tunneled, counter: &Counter) -> Result<f64> {
    let (stop, come) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let visitors = scope.spawn(|| {
            while !stop.load(Relaxed) {
                come_and_go(tunnel.address)?;
                come.fetch_add(1, Relaxed);
            }
            Ok(())
        });
        let calls = counter.per_unit(&tunnel.ids(), || come.load(Relaxed) as f64);
        stop.store(true, Relaxed);
        visitors.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the visitors failed")))?;
        calls
    })
}
