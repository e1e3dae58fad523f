//! iperf3: bulk, from the server to the client.

use std::{net::SocketAddr, path::Path, thread, time::Duration};

use anyhow::{Context, Result, bail};

use super::printed;
use crate::{
    peers::{LOOPBACK, free_address},
    process::Process,
};

/// How often a test is tried once more.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// Its server, as a service; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    _process: Process,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// # Errors
    /// It does not start in time.
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let address = free_address(LOOPBACK)?;
        let port = address.port().to_string();
        let mut process = Process::start(program, &["-s", "-B", "127.0.0.1", "-p", &port, "--forceflush"])?;
        // A connection that says nothing would count as a client.
        process.wait_for(|output| output.contains("listening").then_some(()))?;
        Ok(Self { _process: process, address })
    }
}

/// Receives for as many whole seconds over `streams` connections: bytes a second, and bytes in all.
///
/// # Errors
/// iperf3 fails.
pub(crate) fn run(program: &Path, address: SocketAddr, streams: u32, seconds: u32) -> Result<[f64; 2]> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let (streams, seconds) = (streams.to_string(), seconds.to_string());
    let arguments = [
        "-c",
        &host,
        "-p",
        &port,
        "-P",
        &streams,
        "-t",
        &seconds,
        "--reverse",
        "--json",
        "--connect-timeout",
        "5000",
    ];
    let mut tries = 0;
    loop {
        // A server that has not yet noticed the end of the last test, or of a tunnel's own look at it, refuses the next.
        match printed(program, &arguments).and_then(|text| parse(&text)) {
            Err(_) if tries < TRIES => tries += 1,
            result => return result,
        }
        thread::sleep(PAUSE);
    }
}

fn parse(text: &str) -> Result<[f64; 2]> {
    let report: serde_json::Value = serde_json::from_str(text).context("iperf3 prints no JSON")?;
    if let Some(error) = report["error"].as_str() {
        bail!("iperf3 fails: {error}");
    }
    let sum = &report["end"]["sum_received"];
    let number = |name: &str| sum[name].as_f64().with_context(|| format!("iperf3 says nothing of {name}"));
    Ok([number("bits_per_second")? / 8.0, number("bytes")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_iperf3_prints_is_read() {
        let text = r#"{"start":{},"end":{"sum_sent":{"bytes":9},"sum_received":{"bytes":1000,"bits_per_second":16000.0}}}"#;
        assert_eq!(parse(text).unwrap(), [2000.0, 1000.0]);
        let refused = parse(r#"{"end":{},"error":"the server is busy"}"#).unwrap_err().to_string();
        assert_eq!(refused, "iperf3 fails: the server is busy");
        assert!(parse("iperf3: error").is_err());
    }
}
