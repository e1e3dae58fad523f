//! A message server under measurement, on a free loopback port.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    ops::Deref,
    path::Path,
};

use anyhow::Result;

use super::{process::Process, protocol::Protocol};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A running server; killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    /// What it speaks.
    pub(super) protocol: Protocol,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Server {
    /// Starts `program` as a server of `protocol`.
    ///
    /// # Errors
    /// It does not start or does not listen in time.
    pub(super) fn start(program: &Path, protocol: Protocol) -> Result<Self> {
        match protocol {
            Protocol::Relay => {
                let (process, address) = start_relay(program, LOOPBACK, &[])?;
                Ok(Self { process, protocol, address })
            }
            Protocol::Nats => Self::start_nats(program),
        }
    }

    fn start_nats(program: &Path) -> Result<Self> {
        // It cannot choose a port itself in a way that is easy to read back.
        let address = free_address(LOOPBACK)?;
        let port = address.port().to_string();
        let mut process = Process::start(program, &["-a", "127.0.0.1", "-p", &port])?;
        process.wait_for(|_| TcpStream::connect(address).ok())?;
        Ok(Self { process, protocol: Protocol::Nats, address })
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// Starts a relay on this address with these options and tells where it listens.
///
/// # Errors
/// It does not start in time.
pub(super) fn start_relay(program: &Path, on: IpAddr, options: &[&str]) -> Result<(Process, SocketAddr)> {
    let listen = SocketAddr::new(on, 0).to_string();
    let mut arguments = vec!["serve", "--listen", &listen, "--log-level", "warn"];
    arguments.extend(options);
    let mut process = Process::start(program, &arguments)?;
    let address = process.wait_for(|output| {
        let rest = output.lines().find_map(|line| line.strip_prefix("Listening on "))?;
        rest.split([';', ' ']).next()?.parse().ok()
    })?;
    Ok((process, address))
}

/// A port that was free a moment ago.
///
/// # Errors
/// The system has none.
pub(super) fn free_address(on: IpAddr) -> Result<SocketAddr> {
    Ok(TcpListener::bind((on, 0))?.local_addr()?)
}
