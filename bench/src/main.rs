//! `cargo xtask bench`: the program and a peer do the same work in turn, in one run, and a table says what came of it.

mod crates;
mod machine;
mod messages;
mod process;
mod project;
mod protocol;
mod report;
mod run;
mod server;
mod stats;
mod table;
mod tunnel;
mod venv;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measure the program side by side with its peers
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", max_term_width = 100)]
struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Messages(messages::Messages),
    Tunnel(tunnel::Tunnel),
}

impl Bench {
    fn run(self) -> Result<()> {
        match self.what {
            What::Messages(bench) => bench.run(),
            What::Tunnel(bench) => bench.run(),
        }
    }
}

fn main() -> ExitCode {
    match Bench::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
