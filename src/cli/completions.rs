//! `relay completions`: shell completions.

use std::io::stdout;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Cli, Failure};

/// Print completions for a shell
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        generate(self.shell, &mut Cli::command(), "relay", &mut stdout());
        Ok(())
    }
}
