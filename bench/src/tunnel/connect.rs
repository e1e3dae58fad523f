//! How long a visitor waits for its first answer.

use std::time::Instant;

use anyhow::Result;

use super::{
    Bench, Bound,
    service::{Wish, answer, visit},
    through::{Through, Tunneled},
};
use crate::stats::percentile;

const VISITS: usize = 2_000;
/// The first visits find out how many connections to keep in store.
const UNCOUNTED: usize = 50;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let figures = bench.in_turn(visits)?;
    for (n, (name, bound)) in [("p50", Bound::AtMost(1.0)), ("p99", Bound::None)].into_iter().enumerate() {
        let column: Vec<_> = figures.iter().map(|figures| figures[n]).collect();
        let measure = format!("new connection to first answer, 64 B, {name}");
        bench.compare(&measure, &column, |us| format!("{us:.0} us"), &[Through::Rathole], bound);
    }
    Ok(())
}

/// Microseconds, one visitor after the other: p50 and p99.
fn visits(tunnel: &Tunneled) -> Result<[f64; 2]> {
    let mut times = Vec::with_capacity(VISITS);
    for n in 0..UNCOUNTED + VISITS {
        let start = Instant::now();
        answer(&mut visit(tunnel.address, Wish::Echo)?)?;
        if n >= UNCOUNTED {
            times.push(start.elapsed().as_nanos() as u64);
        }
    }
    times.sort_unstable();
    Ok([0.5, 0.99].map(|share| percentile(&times, share) as f64 / 1000.0))
}
