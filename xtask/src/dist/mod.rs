//! `cargo xtask dist`: what a person downloads, laid into `binaries/`.

mod host;

use anyhow::Result;
use clap::Args;

use crate::project;

pub(crate) use host::lay_down as lay_down_host;

/// Build the release program and lay it into binaries/
#[derive(Debug, Args)]
pub(crate) struct Dist {
    /// Only the program for this machine, with plain cargo
    #[arg(long, required = true)]
    host: bool,
}

impl Dist {
    pub(crate) fn run(self) -> Result<()> {
        let sh = project::shell()?;
        lay_down_host(&sh)?;
        Ok(())
    }
}
