//! `cargo xtask`: builds, tests, benchmarks and releases relay. `cargo xtask --help` lists the commands.

mod archive;
mod bench;
mod build;
mod builders;
mod checksum;
mod ci;
mod date;
mod dependencies;
mod dist;
mod doctor;
mod e2e;
mod exchange;
mod files;
mod image;
mod installers;
mod json;
mod packages;
mod pipelines;
mod project;
mod release;
mod report;
mod repro;
mod sign;
mod simulate;
mod source;
mod suites;
mod sync;
mod targets;
mod test;
mod toolchain;
mod tools;
mod verify;

use std::process::ExitCode;

use clap::Parser;

/// Builds, tests, benchmarks and releases relay
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Command {
    Bench(bench::Bench),
    Build(build::BuildPrograms),
    Ci(ci::Ci),
    Dist(dist::Dist),
    Doctor(doctor::Doctor),
    E2e(e2e::EndToEnd),
    Image(image::Image),
    #[command(hide = true)]
    InContainer(image::InContainer),
    Installers(installers::Installers),
    Packages(packages::Packages),
    Repro(repro::Repro),
    Sign(sign::Sign),
    Simulate(simulate::Simulate),
    Sync(sync::Sync),
    Test(test::Test),
    Verify(verify::Verify),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Bench(command) => command.run(),
        Command::Build(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Dist(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Ci(command) => command.run(),
        Command::Sync(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::E2e(command) => command.run(),
        Command::Image(command) => command.run(),
        Command::InContainer(command) => command.run(),
        Command::Installers(command) => command.run(),
        Command::Simulate(command) => command.run(),
        Command::Sign(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Packages(command) => command.run(),
        Command::Repro(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Verify(command) => command.run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
