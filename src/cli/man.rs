//! `relay man`: man pages.

use std::{
    io::{self, Write, stdout},
    path::PathBuf,
};

use clap::{Args, CommandFactory};
use clap_mangen::{Man as Page, generate_to};

use super::{Cli, Failure};

/// Print the man page, or write one for each command into a folder
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder to write to
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match &self.dir {
            Some(dir) => generate_to(Cli::command(), dir).map_err(|e| {
                Failure::new(format!("cannot write to {}: {e}; create the folder first.", dir.display()))
            }),
            None => print().map_err(|e| Failure::new(format!("cannot write to standard output: {e}."))),
        }
    }
}

fn print() -> io::Result<()> {
    let mut page = Vec::new();
    Page::new(Cli::command()).render(&mut page)?;
    stdout().write_all(&page)
}
