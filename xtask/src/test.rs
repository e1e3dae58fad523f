//! `cargo xtask test`: everything that must hold before a change is taken in, on this machine and with the file that
//! `cargo xtask dist --host` lays down.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::Result;
use clap::Args;

use crate::{
    dist, project, report,
    simulate::simulator,
    suites::{self, ReportsOn, Tally},
    tools,
};

/// Check format and lints, then run every test against the release program of this machine
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Show every test, not only those that fail
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// A step of the run. All of them run even if one fails: a person wants to know everything that is wrong.
struct Step {
    name: &'static str,
    run: fn(&Test) -> Result<Tally>,
}

const STEPS: &[Step] = &[
    Step { name: "format", run: |_| check(cargo(["fmt", "--all", "--check"])) },
    Step { name: "lints", run: |_| check(clippy()) },
    Step { name: "documentation", run: |_| check(documentation()) },
    Step { name: "unit and property tests", run: |test| test.suite(unit_tests()) },
    Step { name: "simulated schedules", run: |_| simulations() },
    Step { name: "models of the locks", run: |test| test.suite(models()) },
    Step { name: "documentation tests", run: |test| test.suite(doc_tests()) },
    Step { name: "Python client tests", run: Test::python_tests },
    Step { name: "end-to-end tests on the release program", run: Test::end_to_end_tests },
    Step { name: "a row of the bench", run: |_| a_row_of_the_bench() },
];

impl Test {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let total = self.tally()?;
        // The summary is the last line, in one form, so that a machine can read it.
        println!("{} passed, {} failed", total.passed, total.failed);
        Ok(if total.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Runs everything, and counts.
    ///
    /// # Errors
    /// None that is known: what cannot be run has failed.
    pub(crate) fn tally(&self) -> Result<Tally> {
        let mut total = Tally::default();
        let mut failed = Vec::new();
        for (index, step) in STEPS.iter().enumerate() {
            report::step(index + 1, STEPS.len(), step.name);
            let tally = (step.run)(self).unwrap_or_else(|error| {
                println!("  {error:#}");
                Tally::of_check(false)
            });
            if tally.failed > 0 {
                failed.push(step.name);
            }
            total.add(tally);
        }
        println!();
        if !failed.is_empty() {
            println!("Failed: {}", failed.join(", "));
        }
        Ok(total)
    }

    fn suite(&self, command: Command) -> Result<Tally> {
        suites::run(command, ReportsOn::Stdout, self.verbose)
    }

    fn python_tests(&self) -> Result<Tally> {
        let folder = "clients/python/tests";
        if !project::root().join(folder).is_dir() {
            println!("  there is no {folder}");
            return Ok(Tally::default());
        }
        let mut command = Command::new(tools::system_python());
        command.args(["-m", "unittest", "discover", "-v", "-s", folder]);
        command.current_dir(project::root()).env("PYTHONDONTWRITEBYTECODE", "1");
        suites::run(command, ReportsOn::Stderr, self.verbose)
    }

    fn end_to_end_tests(&self) -> Result<Tally> {
        let program = dist::lay_down_host(&project::shell()?)?;
        self.suite(end_to_end(&program))
    }
}

/// Random schedules of the core, and every fault of the past put back, which the simulator has to find.
fn simulations() -> Result<Tally> {
    let mut tally = check(simulator(["--seeds", "20000"]))?;
    tally.add(check(simulator(["--mutations", "--seeds", "1000000"]))?);
    Ok(tally)
}

/// The models that loom checks. They are compiled apart: everything is another with loom's atomics.
fn models() -> Command {
    let mut command = cargo(["test", "--locked", "--package", "name-relay-core", "--test", "loom"]);
    command.env("RUSTFLAGS", "--cfg loom").arg("--target-dir").arg(project::target_dir().join("loom"));
    command
}

/// The bench, as far as it takes to see that it works: one short row, on Linux alone, of which it reads /proc.
fn a_row_of_the_bench() -> Result<Tally> {
    if !cfg!(target_os = "linux") {
        return Ok(Tally::default());
    }
    // Compiled as the unit tests are, so that little is left to compile.
    let mut command = cargo(["run", "--quiet", "--locked", "--package", "relay-bench", "--"]);
    command.args(["messages", "--quick", "--no-peer", "--only", "round-trip", "--program"]);
    command.arg(dist::lay_down_host(&project::shell()?)?);
    check(command)
}

/// The end-to-end suite, to be run on `program`.
fn end_to_end(program: &Path) -> Command {
    let mut command = cargo(["test", "--locked", "--package", project::PACKAGE, "--test", "*"]);
    command.env("RELAY_BIN", program).env_remove("RELAY_RUNNER");
    suites::wait_together(&mut command);
    command
}

fn unit_tests() -> Command {
    cargo(["test", "--locked", "--workspace", "--lib", "--bins", "--no-fail-fast"])
}

fn doc_tests() -> Command {
    cargo(["test", "--locked", "--package", project::PACKAGE, "--doc"])
}

fn clippy() -> Command {
    cargo(["clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
}

fn documentation() -> Command {
    let mut command =
        cargo(["doc", "--locked", "--workspace", "--no-deps", "--document-private-items", "--quiet"]);
    // What is read is the documentation for developers; there a link to a private part is welcome.
    command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links");
    command
}

fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(project::cargo());
    command.args(arguments).current_dir(project::root());
    command
}

/// Runs a check that is either right or wrong.
fn check(mut command: Command) -> Result<Tally> {
    Ok(Tally::of_check(command.status()?.success()))
}
