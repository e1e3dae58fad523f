//! How long a few bytes and their answer take on a stream that is open.

use std::{io::Write, time::Instant};

use anyhow::Result;

use super::{
    Bench, Tunneled,
    service::{SMALL_BYTES, Wish, answer, visit},
    tunneled::TUNNELS,
};
use crate::{
    results::{Better, Bound, Row},
    stats::percentile,
    unit::Unit,
};

const EXCHANGES: usize = 4_000;
/// The first exchanges warm the sockets up.
const UNCOUNTED: usize = 300;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let exchanges = bench.run.operations(EXCHANGES);
    let taken = bench.in_turn(bench.run.rounds(), |tunnel, _| exchange(tunnel, exchanges))?;
    for (n, name) in ["p50", "p99"].into_iter().enumerate() {
        let measure = format!("round trip on an open stream, {SMALL_BYTES} B, {name}");
        let row = Row::new(measure, Unit::Time, Better::Lower).against(TUNNELS);
        bench.add(if n == 0 { row.bound(Bound::AtMostTimes(1.0)) } else { row }, &taken, n);
    }
    Ok(())
}

/// Seconds from question to answer on one stream: p50 and p99.
///
/// # Errors
/// An answer does not come.
pub(crate) fn exchange(tunnel: &Tunneled, exchanges: usize) -> Result<[f64; 2]> {
    let mut stream = visit(tunnel.address, Wish::Echo)?;
    answer(&mut stream)?;
    let mut times = Vec::with_capacity(exchanges);
    for n in 0..UNCOUNTED + exchanges {
        let start = Instant::now();
        stream.write_all(&[Wish::Echo as u8; SMALL_BYTES])?;
        answer(&mut stream)?;
        if n >= UNCOUNTED {
            times.push(start.elapsed().as_nanos() as u64);
        }
    }
    times.sort_unstable();
    Ok([0.5, 0.99].map(|share| percentile(&times, share) as f64 / 1e9))
}
