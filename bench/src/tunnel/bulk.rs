//! Bytes a second through a public port, and what a byte costs.

use std::{
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::net::{RecvFlags, recv};

use super::{
    Bench, Tunneled,
    service::{BULK_BYTES, Wish, visit},
    tunneled::TUNNELS,
};
use crate::{
    results::{Better, Bound, Row},
    syscalls::Counter,
    unit::Unit,
};

/// Until a flow on this machine is steady.
const WARM_UP: Duration = Duration::from_millis(300);

/// Taken by a reader at once.
const READ_BYTES: usize = 4 * BULK_BYTES;

/// Rounds in which system calls are counted, which takes time of its own.
const COUNTED_ROUNDS: u32 = 3;

const GIGABYTE: f64 = 1e9;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    for streams in [1, 8] {
        let seconds = bench.run.seconds();
        let taken = bench.in_turn(bench.run.rounds(), |tunnel, round| {
            let visitors =
                (0..streams).map(|_| visit(tunnel.address, Wish::Bulk)).collect::<Result<Vec<_>>>()?;
            let counter = (round < COUNTED_ROUNDS).then_some(&bench.counter);
            flow(tunnel, &visitors, WARM_UP, seconds, counter)
        })?;
        let many = if streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") };
        let row =
            |what: &str, unit, better| Row::new(format!("{what}, {many}"), unit, better).against(TUNNELS);
        let rate = row("bulk", Unit::BytesPerSecond, Better::Higher).bound(Bound::AtLeastTimes(2.0));
        let cpu = row("CPU of server and client per gigabyte", Unit::Time, Better::Lower);
        let calls = row("system calls of server and client per gigabyte", Unit::Count, Better::Lower);
        bench.add(rate, &taken, 0);
        bench.add(cpu.bound(Bound::AtMostTimes(0.3)), &taken, 1);
        bench.add(calls, &taken, 2);
    }
    Ok(())
}

/// Bytes a second that come to these visitors in all, and processor time (seconds) and system calls a gigabyte, which are no numbers
/// where there is nothing to look at. The visitors are gone then.
pub(super) fn flow(
    tunnel: &Tunneled,
    visitors: &[TcpStream],
    warm_up: Duration,
    seconds: f64,
    counter: Option<&Counter>,
) -> Result<[f64; 3]> {
    let arrived = AtomicU64::new(0);
    thread::scope(|scope| {
        for visitor in visitors {
            scope.spawn(|| discard(visitor, &arrived));
        }
        thread::sleep(warm_up);
        let before = (Instant::now(), arrived.load(Relaxed), tunnel.cpu());
        thread::sleep(Duration::from_secs_f64(seconds));
        let after = (before.0.elapsed(), arrived.load(Relaxed), tunnel.cpu());
        let gigabytes = || arrived.load(Relaxed) as f64 / GIGABYTE;
        let calls = counter.map_or(Ok(f64::NAN), |counter| counter.per_unit(&tunnel.ids(), gigabytes));
        for visitor in visitors {
            let _ = visitor.shutdown(Shutdown::Both);
        }
        let bytes = (after.1 - before.1) as f64;
        let cpu = (after.2? - before.2?) / (bytes / GIGABYTE);
        Ok([bytes / after.0.as_secs_f64(), cpu, calls?])
    })
}

/// Takes everything and looks at nothing.
fn discard(visitor: &TcpStream, arrived: &AtomicU64) {
    let mut buffer = vec![0; READ_BYTES];
    // Truncated to nothing by the system, which saves the reader the copy that every tunnel would have to share its processors with.
    while let Ok((_, n @ 1..)) = recv(visitor, &mut buffer, RecvFlags::TRUNC) {
        arrived.fetch_add(n as u64, Relaxed);
    }
}
