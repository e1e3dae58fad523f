//! The program: arguments in, a sentence and an exit code out. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use tcp_relay::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
