//! The smallest proof that a relay works.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

const PATIENCE: Duration = Duration::from_secs(30);

/// Registers at the relay and sends a message to itself through it.
///
/// # Errors
/// Nobody listens there, or what comes back is not the message.
pub(crate) fn exchange(address: impl ToSocketAddrs) -> Result<()> {
    let mut client = TcpStream::connect(address).context("nobody listens there")?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"itself|itself|5|hello")?;
    let mut answer = [0; 5];
    client.read_exact(&mut answer).context("the message does not come back")?;
    ensure!(&answer == b"hello", "it answers {}", answer.escape_ascii());
    Ok(())
}
