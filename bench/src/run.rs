//! What all suites have in common: which program, how often and how long, and whose turn it is.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::{machine, report};

/// How a suite is run.
#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    /// The program to measure [default: the release build of this tree, as `cargo xtask dist --host` lays it down]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,

    /// How often each figure is taken, in turn with the peers [default: 9]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: Option<u32>,

    /// How long each flow is measured [default: 0.7]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,

    /// One short round of everything, to see whether it works; the figures mean little
    #[arg(long)]
    pub(crate) quick: bool,

    /// Measure the relay alone
    #[arg(long)]
    pub(crate) no_peer: bool,

    /// Write docs/performance.md, its charts and its figures
    #[arg(long)]
    pub(crate) save: bool,
}

impl Run {
    /// The program to measure, on a machine that is ready for it.
    ///
    /// # Errors
    /// It does not build, or there is no such file.
    pub(crate) fn program(&self) -> Result<PathBuf> {
        machine::raise_descriptor_limit();
        let program = self.program.clone().map_or_else(machine::build, Ok)?;
        ensure!(program.is_file(), "there is no {}; name the program with --program FILE", program.display());
        // A relative path is one of where the user stands, and processes are started elsewhere.
        Ok(program.canonicalize()?)
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 9 })
    }

    /// As many rounds as that, or fewer: for measures that take long and vary little.
    pub(crate) fn rounds_up_to(&self, most: u32) -> u32 {
        self.rounds().min(most)
    }

    /// How long each flow is measured, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 0.2 } else { 0.7 })
    }

    /// A number of operations, or a tenth of it for a short run.
    pub(crate) fn operations(&self, number: usize) -> usize {
        if self.quick { number / 10 } else { number }
    }

    /// Takes each measure of `only`, or all of them, and says which it is at. One that breaks does not keep the others from being
    /// taken. What broke, with the reasons.
    pub(crate) fn each<M: ValueEnum + Copy>(
        suite: &str,
        only: &[M],
        mut take: impl FnMut(M) -> Result<()>,
    ) -> Vec<String> {
        let measures = if only.is_empty() { M::value_variants() } else { only };
        let mut failures = Vec::new();
        for (number, measure) in measures.iter().enumerate() {
            let value = measure.to_possible_value();
            let name = value.as_ref().map_or("", |value| value.get_name());
            report::step(number + 1, measures.len(), &format!("{suite}: {name}"));
            if let Err(error) = take(*measure) {
                report::clear();
                println!("  FAILED: {error:#}");
                failures.push(format!("{suite} {name}: {error:#}"));
            }
        }
        failures
    }
}

/// Takes a figure from each of `all` in turn, over and over, so that a machine that changes its speed changes it for everyone, and
/// figures of one round are pairs. `take` hears the number of the round, from 0. The values of all rounds, by who, then by figure.
///
/// # Errors
/// The first that fails.
pub(crate) fn turns<T, const N: usize>(
    all: &mut [T],
    rounds: u32,
    label: impl Fn(&T) -> &'static str,
    mut take: impl FnMut(&mut T, u32) -> Result<[f64; N]>,
) -> Result<Vec<[Vec<f64>; N]>> {
    let mut figures: Vec<[Vec<f64>; N]> = all.iter().map(|_| std::array::from_fn(|_| Vec::new())).collect();
    for round in 0..rounds {
        for (one, figures) in all.iter_mut().zip(&mut figures) {
            report::transient(&format!("round {} of {rounds}, {}", round + 1, label(one)));
            for (values, value) in figures.iter_mut().zip(take(one, round)?) {
                values.push(value);
            }
        }
    }
    report::clear();
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_alternate_and_every_value_is_kept() {
        let mut order = Vec::new();
        let figures = turns(
            &mut ["a", "b"],
            2,
            |who| who,
            |who, round| {
                order.push(*who);
                Ok([f64::from(round), if *who == "a" { 1.0 } else { 2.0 }])
            },
        )
        .unwrap();
        assert_eq!(order, ["a", "b", "a", "b"]);
        assert_eq!(figures[0], [vec![0.0, 1.0], vec![1.0, 1.0]]);
        assert_eq!(figures[1], [vec![0.0, 1.0], vec![2.0, 2.0]]);
    }
}
