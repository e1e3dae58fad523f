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
    Bench, Bound,
    service::{BULK_BYTES, Wish, visit},
    through::{TUNNELS, Through, Tunneled},
};

/// Until a flow on this machine is steady.
const WARM_UP: Duration = Duration::from_millis(500);

/// Taken by a reader at once.
const READ_BYTES: usize = 4 * BULK_BYTES;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    for (streams, times) in [(1, 1.5), (8, 1.4)] {
        let seconds = bench.run.seconds;
        let figures = bench.in_turn(|tunnel| {
            let visitors =
                (0..streams).map(|_| visit(tunnel.address, Wish::Bulk)).collect::<Result<Vec<_>>>()?;
            flow(tunnel, &visitors, WARM_UP, seconds)
        })?;
        let column = |n: usize| figures.iter().map(|figures| figures[n]).collect::<Vec<_>>();
        let many = if streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") };
        bench.compare(
            &format!("bulk, {many}"),
            &column(0),
            |bytes| format!("{:.2} GB/s", bytes / 1e9),
            TUNNELS,
            Bound::AtLeast(times),
        );
        // Without a tunnel there is no process to look at.
        let processes = bench.ways.iter().filter(|way| **way != Through::Nothing).count();
        bench.compare(
            &format!("CPU of server and client per gigabyte, {many}"),
            &column(1)[..processes],
            |seconds| format!("{seconds:.2} s"),
            TUNNELS,
            Bound::AtMost(0.5),
        );
    }
    Ok(())
}

/// Bytes a second that come to these visitors in all, and nanoseconds of processor time a byte. The visitors are gone then.
pub(super) fn flow(
    tunnel: &Tunneled,
    visitors: &[TcpStream],
    warm_up: Duration,
    seconds: f64,
) -> Result<[f64; 2]> {
    let arrived = AtomicU64::new(0);
    thread::scope(|scope| {
        for visitor in visitors {
            scope.spawn(|| discard(visitor, &arrived));
        }
        thread::sleep(warm_up);
        let before = (Instant::now(), arrived.load(Relaxed), tunnel.cpu());
        thread::sleep(Duration::from_secs_f64(seconds));
        let after = (before.0.elapsed(), arrived.load(Relaxed), tunnel.cpu());
        for visitor in visitors {
            let _ = visitor.shutdown(Shutdown::Both);
        }
        let bytes = (after.1 - before.1) as f64;
        Ok([bytes / after.0.as_secs_f64(), (after.2? - before.2?) as f64 / bytes])
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
