//! How long a few bytes and their answer take on a stream that is open.

use std::{io::Write, time::Instant};

use anyhow::Result;

use super::{
    Bench, Bound,
    service::{SMALL_BYTES, Wish, answer, visit},
    through::{Through, Tunneled},
};
use crate::stats::percentile;

const EXCHANGES: usize = 10_000;
/// The first exchanges warm the sockets up.
const UNCOUNTED: usize = 500;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let figures = bench.in_turn(exchange)?;
    for (n, (name, bound)) in [("p50", Bound::AtMost(1.0)), ("p99", Bound::None)].into_iter().enumerate() {
        let column: Vec<_> = figures.iter().map(|figures| figures[n]).collect();
        let measure = format!("round trip on an open stream, {SMALL_BYTES} B, {name}");
        bench.compare(&measure, &column, |us| format!("{us:.0} us"), &[Through::Bore], bound);
    }
    Ok(())
}

/// Microseconds: p50 and p99.
fn exchange(tunnel: &Tunneled) -> Result<[f64; 2]> {
    let mut stream = visit(tunnel.address, Wish::Echo)?;
    answer(&mut stream)?;
    let mut times = Vec::with_capacity(EXCHANGES);
    for n in 0..UNCOUNTED + EXCHANGES {
        let start = Instant::now();
        stream.write_all(&[Wish::Echo as u8; SMALL_BYTES])?;
        answer(&mut stream)?;
        if n >= UNCOUNTED {
            times.push(start.elapsed().as_nanos() as u64);
        }
    }
    times.sort_unstable();
    Ok([0.5, 0.99].map(|share| percentile(&times, share) as f64 / 1000.0))
}
