//! `relay completions`: shell completions.

use std::io::{ErrorKind, Write, stdout};

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
        // Into memory first: the generator panics when it cannot write.
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "relay", &mut script);
        match stdout().write_all(&script).and_then(|()| stdout().flush()) {
            // Whoever read our output has enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|e| Failure::new(format!("cannot write to standard output: {e}."))),
        }
    }
}
