//! nats-server, with its defaults.

use std::{
    net::{SocketAddr, TcpStream},
    path::Path,
};

use anyhow::Result;

use super::{LOOPBACK, free_address};
use crate::process::Process;

/// Starts it and tells where it listens.
///
/// # Errors
/// It does not start in time.
pub(super) fn server(program: &Path) -> Result<(Process, SocketAddr)> {
    // It cannot choose a port itself in a way that is easy to read back.
    let address = free_address(LOOPBACK)?;
    let port = address.port().to_string();
    let mut process = Process::start(program, &["-a", "127.0.0.1", "-p", &port])?;
    process.wait_for(|_| TcpStream::connect(address).ok())?;
    Ok((process, address))
}
