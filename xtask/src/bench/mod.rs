//! `cargo xtask bench`: the program and a peer do the same work in turn, in one run, and a table says what came of it.

mod crates;
mod machine;
mod messages;
mod process;
mod protocol;
mod run;
mod server;
mod stats;
mod table;
mod tunnel;
mod venv;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Measure the program side by side with its peers
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Messages(messages::Messages),
    Tunnel(tunnel::Tunnel),
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        match self.what {
            What::Messages(bench) => bench.run(),
            What::Tunnel(bench) => bench.run(),
        }
    }
}
