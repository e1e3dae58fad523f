//! `relay lab serve received`.

use clap::Args;

use super::super::server::{PracticeArgs, TRY_TALK, memory_size};
use crate::{cli::Failure, lab::Received, size::ByteSize};

/// Answer each chunk with `Server received: ` and the chunk [default port: 8888]
#[derive(Debug, Args)]
pub(crate) struct ReceivedServer {
    /// The largest chunk; a longer message is several chunks
    #[arg(long, value_name = "SIZE", default_value = "64KiB", help_heading = "Limits")]
    max_message: ByteSize,

    #[command(flatten)]
    practice: PracticeArgs,
}

/// When none is given.
const PORT: u16 = 8888;

impl ReceivedServer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let service = Received { chunk_bytes_max: memory_size("max-message", self.max_message)? };
        self.practice.run(PORT, TRY_TALK, || Ok(Box::new(service)))
    }
}
