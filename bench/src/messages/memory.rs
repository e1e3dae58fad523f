//! Many clients that do nothing, and many that come at once.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{Bench, clients::fresh_prefix};
use crate::{server::Server, table::Bound};

const CLIENTS: usize = 15_000;
/// Threads of the one process that connects.
const CONNECTORS: usize = 4;
const IDLE_SPAN: Duration = Duration::from_secs(5);

pub(super) fn idle(bench: &mut Bench) -> Result<()> {
    let mut figures = Vec::new();
    for protocol in bench.protocols() {
        let server = bench.start(*protocol)?;
        let before = server.resident()?;
        let clients = connect_all(&server)?;
        // What was used while they registered is given back or is not: a moment decides.
        thread::sleep(Duration::from_secs(1));
        let per_client = (server.resident()? - before) as f64 / CLIENTS as f64;
        let cpu = server.cpu()?;
        thread::sleep(IDLE_SPAN);
        let share = (server.cpu()? - cpu) as f64 / IDLE_SPAN.as_nanos() as f64 * 100.0;
        figures.push([per_client, share]);
        drop(clients);
    }
    let [bytes, share] = figures[0];
    let peer = figures.get(1);
    bench.compare(
        format!("resident memory per idle client, {CLIENTS} of them"),
        (bytes, peer.map(|peer| peer[0])),
        |bytes| format!("{bytes:.0} B"),
        Bound::None,
    );
    bench.absolute("the same, absolute", format!("{bytes:.0} B"), "at most 1,536 B", bytes <= 1536.0);
    bench.compare(
        format!("CPU while {CLIENTS} clients are idle"),
        (share, peer.map(|peer| peer[1])),
        |share| format!("{share:.2} %"),
        Bound::None,
    );
    bench.absolute(
        "the same, absolute",
        format!("{share:.2} %"),
        "not measurable (under 0.5 %)",
        share < 0.5,
    );
    Ok(())
}

pub(super) fn storm(bench: &mut Bench) -> Result<()> {
    let figures = bench.in_turn(|server, _| {
        let start = Instant::now();
        let clients = connect_all(server)?;
        let seconds = start.elapsed().as_secs_f64();
        drop(clients);
        // The server has to notice that they are gone before the next storm.
        thread::sleep(Duration::from_secs(1));
        Ok([seconds])
    })?;
    let seconds = figures[0][0];
    bench.compare(
        format!("{CLIENTS} clients connect and register at once"),
        (seconds, figures.get(1).map(|peer| peer[0])),
        |seconds| format!("{seconds:.2} s"),
        Bound::None,
    );
    bench.absolute("the same, absolute", format!("{seconds:.2} s"), "within 5 s", seconds <= 5.0);
    Ok(())
}

/// Connects as fast as this process can and returns when every client has the proof that it is registered.
fn connect_all(server: &Server) -> Result<Vec<TcpStream>> {
    let (protocol, address, prefix) = (server.protocol, server.address, fresh_prefix());
    let results: Vec<Result<Vec<TcpStream>>> = thread::scope(|scope| {
        let connectors: Vec<_> = (0..CONNECTORS)
            .map(|connector| {
                let prefix = &prefix;
                scope.spawn(move || {
                    let numbers = (connector..CLIENTS).step_by(CONNECTORS);
                    let mut clients = numbers
                        .map(|n| protocol.open(address, &format!("{prefix}{n:05}")))
                        .collect::<Result<Vec<_>>>()?;
                    clients.iter_mut().try_for_each(|client| protocol.confirm(client))?;
                    Ok(clients)
                })
            })
            .collect();
        connectors
            .into_iter()
            .map(|connector| connector.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a connector failed"))))
            .collect()
    });
    results.into_iter().try_fold(Vec::new(), |mut all, some| {
        all.extend(some?);
        Ok(all)
    })
}
