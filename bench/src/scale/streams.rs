//! A visitor, and a stream that is open, beside streams that are idle.

use std::{net::Ipv4Addr, thread};

use anyhow::Result;

use super::{Bench, ROUNDS_MAX, SETTLE, filled, levels};
use crate::{
    hold::{Held, What},
    machine,
    results::{Better, Row},
    run::turns,
    tunnel::{Service, Site, Through, exchange, verified, visits},
    unit::Unit,
};

const EXCHANGES: usize = 3_000;
const VISITS: usize = 500;

/// What a stream takes of the relay's descriptors.
const DESCRIPTORS: usize = 2;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let levels = levels(machine::descriptor_limit(), DESCRIPTORS);
    let (exchanges, number) = (bench.run.operations(EXCHANGES), bench.run.operations(VISITS));
    let service = Service::start(Ipv4Addr::LOCALHOST)?;
    let tunnel = |level: &usize| {
        Ok((*level, verified(&bench.peers, Through::Relay, service.address, Site::LOOPBACK)?))
    };
    let mut tunnels = levels.iter().map(tunnel).collect::<Result<Vec<_>>>()?;
    let rounds = bench.run.rounds_up_to(ROUNDS_MAX);
    let figures = turns(
        &mut tunnels,
        rounds,
        |_| "idle streams",
        |(level, tunnel), _| {
            let others = Held::start(What::Streams, tunnel.address, *level)?;
            let [p50, p99] = exchange(tunnel, exchanges)?;
            let come = visits(tunnel, number)?;
            drop(others);
            service.let_go();
            thread::sleep(SETTLE);
            Ok([p50, p99, come.p50, come.p99, come.cpu])
        },
    )?;
    let rows = [
        "round trip on an open stream, 64 B, p50, beside idle streams",
        "round trip on an open stream, 64 B, p99, beside idle streams",
        "new connection to first answer, p50, beside idle streams",
        "new connection to first answer, p99, beside idle streams",
        "CPU of server and client per visit, beside idle streams",
    ];
    for (n, measure) in rows.into_iter().enumerate() {
        let row = Row::new(measure, Unit::Time, Better::Lower);
        bench.section.add(filled(row, &levels, &figures, n));
    }
    Ok(())
}
