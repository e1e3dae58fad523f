//! Redis, as a service.

use std::{
    net::{SocketAddr, TcpStream},
    path::Path,
};

use anyhow::Result;

use super::{LOOPBACK, free_address};
use crate::process::Process;

/// A running one that writes nothing to the disk; killed when dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    _process: Process,
    pub(crate) address: SocketAddr,
}

impl Redis {
    /// # Errors
    /// It does not start in time.
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let address = free_address(LOOPBACK)?;
        let port = address.port().to_string();
        let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let mut process = Process::start(program, &arguments)?;
        process.wait_for(|_| TcpStream::connect(address).ok())?;
        Ok(Self { _process: process, address })
    }
}
