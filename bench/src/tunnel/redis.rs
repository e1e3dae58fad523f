//! Round trips to Redis on an open stream, by redis-benchmark.

use anyhow::Result;

use super::{Bench, tunneled::TUNNELS};
use crate::{
    load::redis_benchmark,
    peers::{Peer, redis::Redis},
    results::{Better, Row},
    unit::Unit,
};

const REQUESTS: usize = 5_000;
const ROUNDS_MAX: u32 = 5;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let row = |name| {
        Row::new(format!("redis-benchmark, PING on an open stream, {name}"), Unit::Time, Better::Lower)
    };
    if let Some(reason) = bench.peers.lacking(&[Peer::RedisBenchmark, Peer::RedisServer]) {
        bench.not_measured(row("p50"), &reason);
        return Ok(());
    }
    let program = bench.peers.get(Peer::RedisBenchmark)?;
    let redis = Redis::start(bench.peers.get(Peer::RedisServer)?)?;
    let requests = bench.run.operations(REQUESTS);
    let taken = bench.in_turn_to(redis.address, bench.run.rounds_up_to(ROUNDS_MAX), |tunnel, _| {
        redis_benchmark::run(program, tunnel.address, requests)
    })?;
    bench.add(row("p50").against(TUNNELS), &taken, 0);
    bench.add(row("p99").against(TUNNELS), &taken, 1);
    Ok(())
}
