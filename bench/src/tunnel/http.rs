//! HTTP requests to nginx, by wrk: each on a new connection, or many on open ones.

use anyhow::Result;

use super::{Bench, tunneled::TUNNELS};
use crate::{
    load::wrk::{self, CONNECTIONS},
    peers::{Peer, nginx::Nginx},
    results::{Better, Row},
    unit::Unit,
};

/// A run takes a whole second at least.
const ROUNDS_MAX: u32 = 5;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    for (closing, kind) in [(true, "Connection: close"), (false, "keep-alive")] {
        let what = format!("wrk, {CONNECTIONS} at a time, {kind}");
        let row =
            |figure: &str, unit, better| Row::new(format!("{what}: {figure}"), unit, better).against(TUNNELS);
        let rate = row("requests/s", Unit::Rate, Better::Higher);
        if let Some(reason) = bench.peers.lacking(&[Peer::Wrk, Peer::Nginx]) {
            bench.not_measured(rate, &reason);
            continue;
        }
        let program = bench.peers.get(Peer::Wrk)?;
        let nginx = Nginx::start(bench.peers.get(Peer::Nginx)?)?;
        let taken = bench.in_turn_to(nginx.address, bench.run.rounds_up_to(ROUNDS_MAX), |tunnel, _| {
            let before = tunnel.cpu()?;
            let found = wrk::run(program, tunnel.address, 1, closing)?;
            let cpu = (tunnel.cpu()? - before) / found.requests;
            Ok([found.requests_per_second, found.p50, found.p99, cpu])
        })?;
        bench.add(rate, &taken, 0);
        bench.add(row("p50", Unit::Time, Better::Lower), &taken, 1);
        bench.add(row("p99", Unit::Time, Better::Lower), &taken, 2);
        bench.add(row("CPU per request", Unit::Time, Better::Lower), &taken, 3);
    }
    Ok(())
}
