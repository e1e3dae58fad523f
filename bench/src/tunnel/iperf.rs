//! Bulk once more, by iperf3.

use anyhow::Result;

use super::{Bench, tunneled::TUNNELS};
use crate::{
    load::iperf3,
    peers::Peer,
    results::{Better, Row},
    unit::Unit,
};

/// A run takes a whole second at least.
const ROUNDS_MAX: u32 = 3;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    for streams in [1, 8] {
        let many = if streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") };
        let rate = Row::new(format!("bulk by iperf3, {many}"), Unit::BytesPerSecond, Better::Higher);
        if let Some(reason) = bench.peers.lacking(&[Peer::Iperf3]) {
            bench.not_measured(rate, &reason);
            continue;
        }
        let program = bench.peers.get(Peer::Iperf3)?;
        let server = iperf3::Server::start(program)?;
        let rounds = bench.run.rounds_up_to(ROUNDS_MAX);
        let taken = bench.in_turn_to(server.address, rounds, |tunnel, _| {
            let before = tunnel.cpu()?;
            let [rate, bytes] = iperf3::run(program, tunnel.address, streams, 1)?;
            Ok([rate, (tunnel.cpu()? - before) / (bytes / 1e9)])
        })?;
        bench.add(rate.against(TUNNELS), &taken, 0);
        let cpu = Row::new(format!("CPU of the same per gigabyte, {many}"), Unit::Time, Better::Lower);
        bench.add(cpu.against(TUNNELS), &taken, 1);
    }
    Ok(())
}
