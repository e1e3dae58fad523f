//! `cargo xtask bench scale`: the same work beside more and more names or streams that are idle.

mod names;
mod streams;

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{
    machine,
    peers::Peers,
    results::{Row, Section},
    run::Run,
    syscalls::Counter,
    unit::grouped,
};

/// The relay beside more and more idle names and streams
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// Only these measures
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Measure>,

    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    Names,
    Streams,
}

/// How many others there are.
const LEVELS: [usize; 3] = [0, 1_000, 10_000];
/// The others have to come anew for each round, which takes seconds.
const ROUNDS_MAX: u32 = 6;
/// What stays free for the relay's own needs and for the clients under measurement.
const FREE_DESCRIPTORS: usize = 600;

/// Until the end of the others is no longer any work.
const SETTLE: Duration = Duration::from_millis(500);

/// What the measures are taken with.
struct Bench<'a> {
    run: &'a Run,
    peers: Peers,
    section: Section,
}

/// Takes these measures, or all of them.
///
/// # Errors
/// There is no program to measure. What breaks later is in the section.
pub(crate) fn take(run: &Run, only: &[Measure]) -> Result<Section> {
    let mut bench = Bench { run, peers: Peers::find(run.program()?, &[]), section: Section::new("scale") };
    bench.section.failures = Run::each("scale", only, |measure| match measure {
        Measure::Names => names::measure(&mut bench),
        Measure::Streams => streams::measure(&mut bench),
    });
    let about = machine::about("scale", run, "no peer", &Counter::Nothing("not counted here".to_owned()))?;
    bench.section.about = format!(
        "{about} A process may have {} descriptors here. The columns say how many others there are; each ratio is that of 10,000 (or the most below) to none.",
        grouped(machine::descriptor_limit() as f64)
    );
    Ok(bench.section)
}

/// The levels, up to as many as the descriptors of a process allow when each of the others takes so many of the relay's.
fn levels(descriptors: usize, each: usize) -> Vec<usize> {
    let most = descriptors.saturating_sub(FREE_DESCRIPTORS) / each / 100 * 100;
    // A machine without limits has none; more would only take longer.
    let most = most.min(2 * LEVELS[2]);
    let mut levels: Vec<usize> = LEVELS.into_iter().filter(|level| *level < most).collect();
    levels.push(most);
    levels
}

/// How a level is called in tables.
fn label(level: usize) -> String {
    if level == 0 { "none".to_owned() } else { grouped(level as f64) }
}

/// Fills a row with the figure number `n` at each level. What is compared with the figure beside none is that beside 10,000, or the
/// most below.
fn filled<const N: usize>(mut row: Row, levels: &[usize], figures: &[[Vec<f64>; N]], n: usize) -> Row {
    for (level, figures) in levels.iter().zip(figures) {
        row = row.figure(&label(*level), &figures[n]);
    }
    let subject = levels.iter().rev().find(|level| **level <= LEVELS[2]).map_or(0, |level| *level);
    row.about(&label(subject)).against(&["none"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_end_with_what_descriptors_allow() {
        assert_eq!(levels(20_000, 1), [0, 1_000, 10_000, 19_400]);
        assert_eq!(levels(20_000, 2), [0, 1_000, 9_700]);
        assert_eq!(levels(1_024, 1), [0, 400]);
        assert_eq!(levels(usize::MAX, 1), [0, 1_000, 10_000, 20_000]);
        assert_eq!(levels(10_600, 1), [0, 1_000, 10_000]);
    }
}
