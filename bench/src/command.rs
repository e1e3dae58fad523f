//! The command line.

use std::{process::ExitCode, time::Instant};

use anyhow::{Result, ensure};
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
        let mut failures = Vec::new();
        match self {
            Self::All(all) => {
                let run = &all.run;
                failures.extend(keep(run, messages::take(run, &[], &[])?)?);
                failures.extend(keep(run, tunnel::take(run, &[])?)?);
                failures.extend(keep(run, scale::take(run, &[])?)?);
            }
            Self::Messages(suite) => {
                failures = keep(&suite.run, messages::take(&suite.run, &suite.only, &suite.size)?)?;
            }
            Self::Tunnel(suite) => failures = keep(&suite.run, tunnel::take(&suite.run, &suite.only)?)?,
            Self::Scale(suite) => failures = keep(&suite.run, scale::take(&suite.run, &suite.only)?)?,
            Self::Draw => return saved::draw(),
            Self::Hold(hold) => return hold.run(),
        }
        println!("\nMeasured in {}", report::duration(started.elapsed()));
        ensure!(failures.is_empty(), "not everything was measured:\n  {}", failures.join("\n  "));
        Ok(())
    }
}

/// Shows a section, and saves it where that was asked for. What broke in it.
fn keep(run: &Run, mut section: Section) -> Result<Vec<String>> {
    println!("\n{}", section.markdown());
    let failures = std::mem::take(&mut section.failures);
    if run.save {
        saved::put(section)?;
    }
    Ok(failures)
}
