//! `cargo xtask verify`: finished files are what they claim to be. Nothing is run and nothing is believed: everything is read from
//! the bytes that people download.

mod facts;
mod program;
mod shipped;
mod signature;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

pub(crate) use facts::Facts;
pub(crate) use program::{Folders, check as program};
pub(crate) use shipped::{check as shipped, program_of};

use crate::{dependencies, project, release::Release, report, suites::Tally, targets::Selection};

/// Check that every finished file is what it claims to be
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) selection: Selection,
}

impl Verify {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let tally = self.tally()?;
        println!("\n{} verified, {} failed", tally.passed, tally.failed);
        Ok(if tally.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Checks everything, and counts platforms.
    ///
    /// # Errors
    /// There is no release.json.
    pub(crate) fn tally(&self) -> Result<Tally> {
        let sh = project::shell()?;
        let folder = self.selection.folder();
        let release = Release::read(&folder)?;
        let folders = Folders::of_this_machine(&sh)?;
        let mut rows = Vec::new();
        let mut tally = Tally::default();
        for target in self.selection.targets() {
            let problems = match release.shipped(target.triple) {
                Ok(found) => {
                    let mut problems = shipped(target, found, &folder, &folders);
                    let listed =
                        program_of(target, found, &folder).and_then(|bytes| dependencies::check(&bytes));
                    problems.extend(listed.err().map(|error| format!("{error:#}")));
                    problems
                }
                Err(error) => vec![format!("{error:#}")],
            };
            for problem in &problems {
                println!("{}: {problem}", target.triple);
            }
            tally.add(Tally::of_check(problems.is_empty()));
            let facts = release.shipped(target.triple).ok().map(|found| &found.program);
            let cell = |text: Option<String>| text.unwrap_or_default();
            rows.push([
                target.triple.to_owned(),
                cell(facts.map(|program| report::megabytes(program.sum.bytes))),
                cell(facts.map(|program| needs(&program.facts))),
                if problems.is_empty() { "good" } else { "FAILED" }.to_owned(),
            ]);
        }
        print!("{}", report::table(["target", "program", "needs", ""], &rows));
        Ok(tally)
    }
}

fn needs(facts: &Facts) -> String {
    match &facts.minimum_os {
        Some(version) => format!("macOS {version}"),
        None if facts.libraries.is_empty() => "nothing: static".to_owned(),
        None => format!("{} libraries of the system", facts.libraries.len()),
    }
}
