//! What all benchmarks have in common: which relay, how often and how long, and where the table goes.

use std::{fs, path::PathBuf};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use super::{
    machine,
    stats::median,
    table::{Table, replace_between},
};
use crate::{project, report};

/// How a benchmark is run.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// How often each figure is taken; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(super) rounds: u32,

    /// How long each flow is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub(super) seconds: f64,

    /// The relay to measure [default: a release build of this tree]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,

    /// Measure the relay alone
    #[arg(long)]
    pub(super) no_peer: bool,

    /// Keep the table in docs/performance.md
    #[arg(long)]
    save: bool,
}

impl Run {
    /// The relay to measure, on a machine that is ready for it.
    ///
    /// # Errors
    /// This is not Linux, or the relay does not build.
    pub(super) fn relay(&self) -> Result<PathBuf> {
        ensure!(cfg!(target_os = "linux"), "the benchmark reads /proc and runs on Linux only");
        machine::raise_descriptor_limit();
        match &self.program {
            Some(file) => Ok(file.clone()),
            None => machine::build(),
        }
    }

    /// Takes each measure of `only`, or all of them, and says which it is at.
    ///
    /// # Errors
    /// The first that fails.
    pub(super) fn each<M: ValueEnum + Copy + std::fmt::Debug>(
        only: &[M],
        mut take: impl FnMut(M) -> Result<()>,
    ) -> Result<()> {
        let measures = if only.is_empty() { M::value_variants() } else { only };
        for (number, measure) in measures.iter().enumerate() {
            report::step(number + 1, measures.len(), &format!("{measure:?}"));
            take(*measure)?;
        }
        Ok(())
    }

    /// Takes a figure from each of `all` in turn, over and over, so that a machine that changes its speed changes it for everyone. `take`
    /// hears the number of the round, from 0. The medians, in the order of `all`.
    ///
    /// # Errors
    /// The first that fails.
    pub(super) fn turns<T, const N: usize>(
        &self,
        all: &[T],
        label: impl Fn(&T) -> &'static str,
        mut take: impl FnMut(&T, u32) -> Result<[f64; N]>,
    ) -> Result<Vec<[f64; N]>> {
        let mut figures = vec![Vec::new(); all.len()];
        for round in 0..self.rounds {
            for (one, figures) in all.iter().zip(&mut figures) {
                report::transient(&format!("round {} of {}, {}", round + 1, self.rounds, label(one)));
                figures.push(take(one, round)?);
            }
        }
        report::clear();
        let middle = |rounds: &Vec<[f64; N]>| {
            std::array::from_fn(|n| median(&rounds.iter().map(|figures| figures[n]).collect::<Vec<_>>()))
        };
        Ok(figures.iter().map(middle).collect())
    }

    /// Shows the table of the benchmark `name`, and keeps it where that was asked for. `versions` are those of the peers, whose columns
    /// have these `labels`; `note` is what the reader has to know besides.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn show(
        &self,
        name: &str,
        versions: &str,
        note: Option<&str>,
        table: &Table,
        labels: &[&str],
    ) -> Result<()> {
        let saved = if self.save { " --save" } else { "" };
        let about = machine::about(&format!("cargo xtask bench {name}{saved}"), versions, self.rounds)?;
        let note = note.map_or_else(String::new, |note| format!(" {note}"));
        let text = format!("{about}{note}\n\n{}", table.markdown(labels));
        println!("\n{text}");
        let kept = project::target_dir().join(format!("bench-{name}.json"));
        fs::write(&kept, serde_json::to_vec_pretty(&table.json())?)?;
        println!("Also in {}", project::shown(&kept));
        if self.save {
            replace_between(&project::root().join("docs/performance.md"), &format!("bench {name}"), &text)?;
        }
        Ok(())
    }
}
