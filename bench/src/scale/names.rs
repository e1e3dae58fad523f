//! Two clients, four pairs, and a newcomer, beside registered names that are idle.

use std::{thread, time::Instant};

use anyhow::Result;

use super::{Bench, ROUNDS_MAX, SETTLE, filled, levels};
use crate::{
    crowd::fresh_prefix,
    hold::{Held, What},
    machine,
    messages::{Server, exchange_between, pair_rate},
    protocol::Protocol,
    results::{Better, Bound, Row},
    run::turns,
    stats::percentile,
    unit::Unit,
};

const EXCHANGES: usize = 5_000;
const NEWCOMERS: usize = 500;
const MESSAGE_BYTES: usize = 64;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let levels = levels(machine::descriptor_limit(), 1);
    let (exchanges, newcomers) = (bench.run.operations(EXCHANGES), bench.run.operations(NEWCOMERS));
    let seconds = bench.run.seconds();
    let server = |level: &usize| Ok((*level, bench.peers.server(Protocol::Relay)?));
    let mut servers = levels.iter().map(server).collect::<Result<Vec<_>>>()?;
    let rounds = bench.run.rounds_up_to(ROUNDS_MAX);
    let figures = turns(
        &mut servers,
        rounds,
        |_| "idle names",
        |(level, server), _| {
            let others = Held::start(What::Names, server.address, *level)?;
            let [p50, p99, _] = exchange_between(server, exchanges)?;
            let [new_p50, new_p99] = register_one_by_one(server, newcomers)?;
            let rate = pair_rate(server, MESSAGE_BYTES, seconds)?;
            drop(others);
            thread::sleep(SETTLE);
            Ok([p50, p99, rate, new_p50, new_p99])
        },
    )?;
    let rows = [
        ("round trip of two clients, 64 B, p50, beside idle names", Unit::Time, Better::Lower),
        ("round trip of two clients, 64 B, p99, beside idle names", Unit::Time, Better::Lower),
        ("messages/s, 4 pairs, 64 B, beside idle names", Unit::Rate, Better::Higher),
        ("connecting and registering, p50, beside idle names", Unit::Time, Better::Lower),
        ("connecting and registering, p99, beside idle names", Unit::Time, Better::Lower),
    ];
    for (n, (measure, unit, better)) in rows.into_iter().enumerate() {
        let row = filled(Row::new(measure, unit, better), &levels, &figures, n);
        bench.section.add(if n == 0 { row.bound(Bound::Within(0.1)) } else { row });
    }
    Ok(())
}

/// Seconds until a newcomer has the proof that it can be reached: p50 and p99.
fn register_one_by_one(server: &Server, newcomers: usize) -> Result<[f64; 2]> {
    let prefix = fresh_prefix();
    let mut times = Vec::with_capacity(newcomers);
    for n in 0..newcomers {
        let start = Instant::now();
        let client = server.protocol.register(server.address, &format!("{prefix}{n}"))?;
        times.push(start.elapsed().as_nanos() as u64);
        drop(client);
    }
    times.sort_unstable();
    Ok([0.5, 0.99].map(|share| percentile(&times, share) as f64 / 1e9))
}
