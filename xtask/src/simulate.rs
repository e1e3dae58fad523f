//! `cargo xtask simulate`: compiles the simulator and runs it. It drives the core through random schedules and checks what must always hold.

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use clap::Args;

use crate::project;

/// Drive the core through random schedules and check what must always hold; `cargo xtask simulate --help` lists the options
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Simulate {
    /// What the simulator itself takes
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Simulate {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let status = simulator(self.arguments).status().context("cargo does not run")?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The simulator with these arguments.
pub(crate) fn simulator(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Command {
    let mut command = Command::new(project::cargo());
    command.args([
        "run",
        "--quiet",
        "--locked",
        "--profile",
        "simulation",
        "--package",
        "relay-simulator",
        "--",
    ]);
    command.args(arguments.into_iter().map(Into::into));
    command
}
