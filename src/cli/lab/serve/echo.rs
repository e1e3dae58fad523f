//! `relay lab serve echo`.

use clap::Args;

use super::super::server::{PracticeArgs, TRY_TALK, memory_size};
use crate::{cli::Failure, lab::Echo, size::ByteSize};

/// Send back every byte as it came [default port: 8887]
#[derive(Debug, Args)]
pub(crate) struct EchoServer {
    /// The most bytes taken and sent back at once
    #[arg(long, value_name = "SIZE", default_value = "64KiB", help_heading = "Limits")]
    max_message: ByteSize,

    #[command(flatten)]
    practice: PracticeArgs,
}

/// When none is given.
const PORT: u16 = 8887;

impl EchoServer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let service = Echo { piece_bytes_max: memory_size("max-message", self.max_message)? };
        self.practice.run(PORT, TRY_TALK, || Ok(Box::new(service)))
    }
}
