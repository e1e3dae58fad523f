//! The command line.

use std::{process::ExitCode, time::Instant};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{hold, messages, report, results::Section, run::Run, saved, scale, tunnel};

/// Measure the program side by side with its peers
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", max_term_width = 100)]
struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every suite
    All(All),
    Messages(messages::Messages),
    Tunnel(tunnel::Tunnel),
    Scale(scale::Scale),
    /// Write docs/performance.md and its charts once more, from the figures that were saved
    Draw,
    #[command(hide = true)]
    Hold(hold::Hold),
}

#[derive(Debug, clap::Args)]
struct All {
    #[command(flatten)]
    run: Run,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    match Bench::parse().what.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl What {
    fn run(self) -> Result<()> {
        let started = Instant::now();
        match self {
            Self::All(all) => {
                let run = &all.run;
                keep(run, messages::take(run, &[], &[])?)?;
                keep(run, tunnel::take(run, &[])?)?;
                keep(run, scale::take(run, &[])?)?;
            }
            Self::Messages(suite) => keep(&suite.run, messages::take(&suite.run, &suite.only, &suite.size)?)?,
            Self::Tunnel(suite) => keep(&suite.run, tunnel::take(&suite.run, &suite.only)?)?,
            Self::Scale(suite) => keep(&suite.run, scale::take(&suite.run, &suite.only)?)?,
            Self::Draw => return saved::draw(),
            Self::Hold(hold) => return hold.run(),
        }
        println!("\nMeasured in {}", report::duration(started.elapsed()));
        Ok(())
    }
}

/// Shows a section, and saves it where that was asked for.
fn keep(run: &Run, section: Section) -> Result<()> {
    println!("\n{}", section.markdown());
    if run.save { saved::put(section) } else { Ok(()) }
}
