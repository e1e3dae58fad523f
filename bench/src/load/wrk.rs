//! wrk: HTTP requests on many connections at once.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result, ensure};

use super::printed;

/// Connections at the same time.
pub(crate) const CONNECTIONS: u32 = 50;

/// What wrk found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    pub(crate) requests: f64,
    pub(crate) requests_per_second: f64,
    /// Seconds.
    pub(crate) p50: f64,
    /// Seconds.
    pub(crate) p99: f64,
}

/// Asks the HTTP server at `address` for as many whole seconds; `closing` each time on a new connection.
///
/// # Errors
/// wrk fails, or a request does.
pub(crate) fn run(program: &Path, address: SocketAddr, seconds: u32, closing: bool) -> Result<Found> {
    let (connections, duration, url) =
        (CONNECTIONS.to_string(), format!("{seconds}s"), format!("http://{address}/"));
    let mut arguments = vec!["-t", "1", "-c", &connections, "-d", &duration, "--latency"];
    if closing {
        arguments.extend(["-H", "Connection: close"]);
    }
    arguments.push(&url);
    parse(&printed(program, &arguments)?)
}

fn parse(text: &str) -> Result<Found> {
    let is_failure = |line: &&str| line.contains("Socket errors:") || line.contains("Non-2xx");
    if let Some(failure) = text.lines().find(is_failure) {
        ensure!(is_harmless(failure), "wrk had failures: {}", failure.trim());
    }
    let after = |label: &str| {
        let line = text.lines().map(str::trim).find_map(|line| line.strip_prefix(label));
        line.map(str::trim).with_context(|| format!("wrk says nothing of {label}"))
    };
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "));
    Ok(Found {
        requests: requests.context("wrk says nothing of requests")?.0.parse()?,
        requests_per_second: after("Requests/sec:")?.parse()?,
        p50: time(after("50%")?)?,
        p99: time(after("99%")?)?,
    })
}

/// A server that closes first, as it was asked to, makes wrk count some reads as failures.
fn is_harmless(line: &str) -> bool {
    let counts = line.split(',').filter_map(|part| part.trim().rsplit_once(' '));
    line.contains("Socket errors:") && counts.into_iter().all(|(what, n)| what.ends_with("read") || n == "0")
}

/// `92.00us`, `1.46ms`, `1.01s`, in seconds.
fn time(text: &str) -> Result<f64> {
    let (number, scale) = if let Some(number) = text.strip_suffix("us") {
        (number, 1e-6)
    } else if let Some(number) = text.strip_suffix("ms") {
        (number, 1e-3)
    } else {
        (text.strip_suffix('s').with_context(|| format!("{text:?} is no time"))?, 1.0)
    };
    Ok(number.parse::<f64>()? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Running 1s test @ http://127.0.0.1:8000/
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.63ms    1.46ms  15.70ms   84.02%
    Req/Sec    10.83k     1.03k   12.02k    80.00%
  Latency Distribution
     50%    4.31ms
     75%    5.06ms
     90%    6.18ms
     99%   1.01s 
  10767 requests in 1.00s, 1.53MB read
Requests/sec:  10750.48
Transfer/sec:      1.53MB
";

    #[test]
    fn what_wrk_prints_is_read() {
        let found = parse(TEXT).unwrap();
        assert_eq!(
            found,
            Found { requests: 10767.0, requests_per_second: 10750.48, p50: 4.31e-3, p99: 1.01 }
        );
        assert!((time("92.00us").unwrap() - 92e-6).abs() < 1e-12);
        assert!(time("fast").is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn failed_requests_are_no_figure() {
        let socket = |line: &str| TEXT.replace("Requests/sec", &format!("{line}\nRequests/sec"));
        assert!(parse(&socket("  Socket errors: connect 3, read 0, write 0, timeout 0")).is_err());
        assert!(parse(&socket("  Socket errors: connect 0, read 0, write 0, timeout 1")).is_err());
        assert!(parse(&socket("  Non-2xx or 3xx responses: 7")).is_err());
        assert!(parse(&socket("  Socket errors: connect 0, read 9, write 0, timeout 0")).is_ok());
    }
}
