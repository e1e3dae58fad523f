//! `relay man`: man pages.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::{Man as Page, generate_to};

use super::{Cli, Failure, result};

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
            None => {
                let mut page = Vec::new();
                let rendered = Page::new(Cli::command()).render(&mut page);
                rendered.map_err(|e| Failure::new(format!("cannot make the page: {e}.")))?;
                result::print(&page)
            }
        }
    }
}
