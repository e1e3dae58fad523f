//! One stream over cables that are long and lose packets, beside a connection without a tunnel over the very same ones.

mod forwarder;
mod namespace;
mod path;
mod tun;
mod wire;

use std::{fs, net::TcpStream, thread, time::Duration};

use anyhow::{Context, Result};

pub(super) use self::namespace::Namespace;
use self::path::{Distance, Emulation, Path};
use super::{
    Bench, Service, Site, Through, Tunneled,
    bulk::flow,
    service::{Wish, visit},
    tunneled::verified,
};
use crate::{
    results::{Better, Bound, RELAY, Row},
    stats::median,
    unit::Unit,
};

/// A run takes seconds, and what is lost in it is the same each time.
const ROUNDS_MAX: u32 = 3;

/// Of all packets in each direction, over both cables.
const LOSS: f64 = 0.01;

/// 50 Mbit/s: enough to see what is lost, and little enough that the cables take no processor time from the tunnels.
const BYTES_PER_SECOND: u64 = 6_250_000;

/// Until the windows have opened.
const WARM_UP_ROUND_TRIPS: u32 = 10;

/// Shorter than what BBR takes to look at the empty path again, for which it pauses.
const SECONDS: f64 = 3.5;

/// To see whether it works.
const QUICK_SECONDS: f64 = 0.5;

/// Every Linux lets every namespace have it. It takes each loss for a full line, so it shows best what a long path costs.
const MOST_TIMID: &str = "reno";

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let default = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")
        .context("cannot read the system's congestion control")?;
    for milliseconds in [50, 200] {
        let round_trip = Duration::from_millis(milliseconds);
        let distance =
            |congestion| Distance { round_trip, loss: LOSS, bytes_per_second: BYTES_PER_SECOND, congestion };
        let name = format!("{milliseconds} ms round trip, 1 % loss");
        along(bench, distance(default.trim()), &name, true)?;
        if default.trim() != MOST_TIMID {
            along(bench, distance(MOST_TIMID), &name, false)?;
        }
    }
    Ok(())
}

/// Measures over this distance; `in_full` also the other tunnels, and what a stalled stream does to another.
fn along(bench: &mut Bench<'_>, distance: Distance<'_>, name: &str, in_full: bool) -> Result<()> {
    let name = format!("1 stream, {name}, {}", distance.congestion);
    let row = Row::new(&*name, Unit::BytesPerSecond, Better::Higher);
    let path = match Path::new(distance) {
        Ok(path) => path,
        Err(reason) => {
            bench.not_measured(row, &format!("{reason:#}"));
            return Ok(());
        }
    };
    bench.note = Some(match path.emulation {
        Emulation::Netem => "Long cables are the kernel's (netem).",
        Emulation::Forwarder => {
            "Long cables are emulated by a thread of the benchmark, for want of netem in the kernel."
        }
    });
    let service = path.service.run(|| Service::start(path.service.address))?;
    let site = Site { server: &path.relay, client: &path.service };
    let takes_part = |way: &Through| match way {
        Through::Relay | Through::Nothing => true,
        Through::Bore | Through::Rathole => in_full,
        Through::Haproxy | Through::HaproxyTwice => false,
    };
    let ways: Vec<_> = bench.ways.iter().copied().filter(takes_part).collect();
    let start = |way: &Through| verified(&bench.peers, *way, service.address, site);
    let tunnels = ways.iter().map(start).collect::<Result<Vec<_>>>()?;
    let seconds = if bench.run.quick { QUICK_SECONDS } else { SECONDS };
    let mut beside_stalled = Vec::new();
    let taken = Bench::through(tunnels, bench.run.rounds_up_to(ROUNDS_MAX), |tunnel, _| {
        if in_full && tunnel.way == Through::Relay {
            let _stalled = come(&path, tunnel)?;
            // Until all that holds its bytes on the way is full: what it does then is the question.
            thread::sleep(WARM_UP_ROUND_TRIPS * distance.round_trip);
            beside_stalled.push(rate(&path, tunnel, distance, seconds)?);
        }
        Ok([rate(&path, tunnel, distance, seconds)?])
    })?;
    let alone = median(&taken.figures[0][0]);
    let row = row.against(&[Through::Nothing.label()]).bound(Bound::AtLeastTimes(0.95));
    bench.add::<1>(row, &taken, 0);
    if in_full {
        // Chance alone, in what is lost, moves it by some percent; a stall that is passed on stops it.
        let row =
            Row::new(format!("{name}, beside one that is not read"), Unit::BytesPerSecond, Better::Higher);
        bench.section.add(row.figure(RELAY, &beside_stalled).bound(Bound::AtLeast(0.9 * alone)));
    }
    Ok(())
}

/// A visitor that wants all it can get.
fn come(path: &Path, tunnel: &Tunneled) -> Result<TcpStream> {
    path.visitor.run(|| visit(tunnel.address, Wish::Bulk))
}

/// Bytes a second.
fn rate(path: &Path, tunnel: &Tunneled, distance: Distance<'_>, seconds: f64) -> Result<f64> {
    let warm_up = WARM_UP_ROUND_TRIPS * distance.round_trip;
    let [bytes, ..] = flow(tunnel, &[come(path, tunnel)?], warm_up, seconds, None)?;
    Ok(bytes)
}
