//! A process that holds idle connections: the bench has too few descriptors for its own and for all of these.

use std::{
    env,
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::{
    crowd::{self, Dial},
    machine,
    protocol::Protocol,
    tunnel,
};

/// Hold idle connections until the standard input ends
#[derive(Debug, Args)]
pub(crate) struct Hold {
    what: What,
    address: SocketAddr,
    count: usize,
}

/// What is held.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum What {
    /// Registered names of the relay's protocol.
    Names,
    /// Visitors of the tunnel's service.
    Streams,
}

impl Hold {
    pub(crate) fn run(self) -> Result<()> {
        machine::raise_descriptor_limit();
        let dial = Dial { to: self.address, from_own: true };
        let held = match self.what {
            What::Names => crowd::register(Protocol::Relay, dial, "idle", self.count)?,
            What::Streams => tunnel::idle_visitors(dial, self.count)?,
        };
        println!("held {}", held.len());
        io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    }
}

/// Connections that another process holds; gone when dropped.
#[derive(Debug)]
pub(crate) struct Held(Child);

impl Held {
    /// Returns when all of them are there.
    ///
    /// # Errors
    /// Some cannot be made.
    pub(crate) fn start(what: What, address: SocketAddr, count: usize) -> Result<Self> {
        let name = what.to_possible_value().context("every kind has a name")?.get_name().to_owned();
        let mut child = Command::new(env::current_exe()?)
            .args(["hold", &name, &address.to_string(), &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("it has no output")?;
        let held = Self(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line.trim() == format!("held {count}"), "{count} idle {name} cannot be held at {address}");
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
