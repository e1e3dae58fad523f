//! `relay completions`: shell completions.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Cli, Failure, result::print};

/// Print completions for a shell
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        // Into memory first: the generator panics when it cannot write.
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "relay", &mut script);
        print(&script)
    }
}
