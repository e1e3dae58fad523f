//! `relay serve`: runs the relay.

use clap::Args;

use super::{Failure, log::LogArgs};

/// Run the relay
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    log: LogArgs,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.log.install();
        Err(Failure::new("not yet"))
    }
}
