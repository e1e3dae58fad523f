//! What an open stream that carries nothing costs the server.

use std::{net::TcpStream, thread, time::Duration};

use anyhow::Result;

use super::{
    Bench, Site, Taken, Through,
    service::{Wish, answer, wish_on},
    tunneled::{TUNNELS, verified},
};
use crate::{
    crowd::{Dial, in_parallel},
    results::{Better, Bound, Row},
    run::turns,
    unit::{Unit, grouped},
};

/// Each is two sockets in this process and two in each of the tunnel's; HAProxy has two for each stream in one.
const STREAMS: usize = 4_000;
/// Memory hardly changes from run to run, and these runs take long.
const ROUNDS_MAX: u32 = 3;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let streams = bench.run.operations(STREAMS);
    let mut ways: Vec<_> = bench.ways.iter().copied().filter(|way| *way != Through::Nothing).collect();
    let rounds = bench.run.rounds_up_to(ROUNDS_MAX);
    let figures = turns(
        &mut ways,
        rounds,
        |way| way.label(),
        |way, _| {
            // A tunnel of its own each time: one that had these visitors before has their memory still.
            let tunnel = verified(&bench.peers, *way, bench.service.address, Site::LOOPBACK)?;
            let before = tunnel.server_resident()?;
            let visitors = idle_visitors(Dial { to: tunnel.address, from_own: false }, streams)?;
            // What was used while they came is given back or is not: a moment decides.
            thread::sleep(Duration::from_secs(1));
            let per_stream = tunnel.server_resident()?.saturating_sub(before) as f64 / streams as f64;
            drop(visitors);
            bench.service.let_go();
            Ok([per_stream])
        },
    )?;
    let measure =
        format!("resident memory of the server per idle stream, {} of them", grouped(streams as f64));
    let row = Row::new(measure, Unit::Bytes, Better::Lower).against(TUNNELS).bound(Bound::AtMost(1024.0));
    bench.add(row, &Taken { ways, figures }, 0);
    Ok(())
}

/// Visitors that have had an answer and say nothing more.
///
/// # Errors
/// One of them gets no answer.
pub(crate) fn idle_visitors(dial: Dial, count: usize) -> Result<Vec<TcpStream>> {
    in_parallel(count, |numbers| {
        numbers
            .map(|n| {
                let mut visitor = wish_on(dial.connect(n)?, Wish::Keep)?;
                answer(&mut visitor)?;
                Ok(visitor)
            })
            .collect()
    })
}
