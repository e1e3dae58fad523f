//! `cargo xtask bench`: compiles the bench and runs it. It is a crate of its own, so that nothing else waits for its compilation.

use std::{
    env,
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use clap::Args;

use crate::{dist, project};

/// Measure the program side by side with its peers; `cargo xtask bench --help` lists the options
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Bench {
    /// What the bench itself takes
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut command = Command::new(project::cargo());
        command
            .args(["run", "--quiet", "--locked", "--profile", "load", "--package", "relay-bench", "--"])
            .args(self.arguments)
            // Paths in the arguments are those of the folder where the user stands, which stays. The bench has the program built when it
            // needs it, by `cargo xtask dist --host`, and finds it here.
            .env("RELAY_BENCH_PROGRAM", dist::host_program(&project::shell()?)?)
            .env("RELAY_BENCH_XTASK", env::current_exe()?);
        let status = command.status().context("cargo does not run")?;
        // A process that a signal ended has no code.
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        Ok(ExitCode::from(code))
    }
}
