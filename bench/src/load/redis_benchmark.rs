//! redis-benchmark: one client that asks, waits, and asks again.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result};

use super::printed;

/// Seconds from question to answer: p50 and p99.
///
/// # Errors
/// It fails.
pub(crate) fn run(program: &Path, address: SocketAddr, requests: usize) -> Result<[f64; 2]> {
    let (host, port, requests) = (address.ip().to_string(), address.port().to_string(), requests.to_string());
    let arguments = ["-h", &host, "-p", &port, "-c", "1", "-n", &requests, "-t", "ping_mbulk", "--csv"];
    parse(&printed(program, &arguments)?)
}

fn parse(text: &str) -> Result<[f64; 2]> {
    let mut lines = text.lines().filter(|line| line.starts_with('"'));
    let (heading, values) = lines
        .next()
        .zip(lines.next())
        .context("redis-benchmark prints no table; version 6.2 or later does")?;
    let cells =
        |line: &str| line.split(',').map(|cell| cell.trim_matches('"').to_owned()).collect::<Vec<_>>();
    let (heading, values) = (cells(heading), cells(values));
    let milliseconds = |name: &str| -> Result<f64> {
        let at = heading.iter().position(|cell| cell == name);
        let value = at.and_then(|at| values.get(at));
        Ok(value.with_context(|| format!("redis-benchmark says nothing of {name}"))?.parse()?)
    };
    Ok([milliseconds("p50_latency_ms")? / 1e3, milliseconds("p99_latency_ms")? / 1e3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_benchmark_prints_is_read() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
                    \"PING_MBULK\",\"27397.26\",\"0.033\",\"0.016\",\"0.031\",\"0.047\",\"0.079\",\"0.479\"\n";
        let [p50, p99] = parse(text).unwrap();
        assert!((p50 - 31e-6).abs() < 1e-9 && (p99 - 79e-6).abs() < 1e-9);
        assert!(parse("Could not connect to Redis").is_err());
        assert!(parse("\"test\",\"rps\"\n\"PING_MBULK\",\"1\"\n").is_err());
    }
}
