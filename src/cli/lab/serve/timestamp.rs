//! `relay lab serve timestamp`.

use clap::Args;

use super::super::server::{PracticeArgs, TRY_TALK, memory_size};
use crate::{
    cli::{Failure, values::Span},
    lab::Timestamp,
    size::ByteSize,
};

/// Answer one message with the local time and the message, then close [default port: 8080]
#[derive(Debug, Args)]
pub(crate) struct TimestampServer {
    /// The longest message; what follows it is not answered
    #[arg(long, value_name = "SIZE", default_value = "1MiB", help_heading = "Limits")]
    max_message: ByteSize,

    /// How long a pause ends a message
    #[arg(long, value_name = "TIME", default_value = "50ms")]
    pause: Span,

    #[command(flatten)]
    practice: PracticeArgs,
}

/// When none is given.
const PORT: u16 = 8080;

impl TimestampServer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let service = Timestamp {
            message_bytes_max: memory_size("max-message", self.max_message)?,
            pause: self.pause.0,
        };
        self.practice.run(PORT, TRY_TALK, || Ok(Box::new(service)))
    }
}
