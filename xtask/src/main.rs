//! `cargo xtask`: builds, tests, benchmarks and releases relay. `cargo xtask --help` lists the commands.

mod bench;
mod builders;
mod dist;
mod files;
mod project;
mod report;
mod suites;
mod test;

use std::process::ExitCode;

use clap::Parser;

/// Builds, tests, benchmarks and releases relay
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Command {
    Bench(bench::Bench),
    Dist(dist::Dist),
    Test(test::Test),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Bench(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Dist(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Test(command) => command.run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
