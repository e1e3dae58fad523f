//! Mosquitto, for everyone and without persistence.

use std::{
    fs,
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
    let address = free_address(LOOPBACK)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("mosquitto.conf");
    // Started by root it would become another user, who may not read the file. Without Nagle's algorithm, as the others.
    fs::write(
        &file,
        format!(
            "listener {} {}\nallow_anonymous true\nuser root\nset_tcp_nodelay true\nlog_type error\n",
            address.port(),
            address.ip()
        ),
    )?;
    let mut process = Process::start(program, &["-c", &file.to_string_lossy()])?;
    process.wait_for(|_| TcpStream::connect(address).ok())?;
    // The folder goes when the file was read.
    Ok((process, address))
}
