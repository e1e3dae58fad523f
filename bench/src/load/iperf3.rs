//! iperf3: bulk, from the server to the client.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result};

use super::printed;
use crate::{
    peers::{LOOPBACK, free_address},
    process::Process,
};

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
    parse(&printed(program, &arguments)?)
}

fn parse(text: &str) -> Result<[f64; 2]> {
    let report: serde_json::Value = serde_json::from_str(text).context("iperf3 prints no JSON")?;
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
        assert!(parse(r#"{"error":"unable to connect"}"#).is_err());
        assert!(parse("iperf3: error").is_err());
    }
}
