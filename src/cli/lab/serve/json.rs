//! `relay lab serve json`.

use clap::Args;

use super::super::server::{PracticeArgs, memory_size};
use crate::{cli::Failure, lab::Json, size::ByteSize};

/// Answer frames of a 4-byte length and JSON with the same [default port: 8889]
#[derive(Debug, Args)]
pub(crate) struct JsonServer {
    /// The longest frame
    #[arg(long, value_name = "SIZE", default_value = "1MiB", help_heading = "Limits")]
    max_message: ByteSize,

    #[command(flatten)]
    practice: PracticeArgs,
}

/// When none is given.
const PORT: u16 = 8889;

/// What to try against it.
const TRY_REQUEST: &str = "try: relay lab request {host} {port} '{\"command\":\"get_status\"}'";

impl JsonServer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let service = Json::new(memory_size("max-message", self.max_message)?);
        self.practice.run(PORT, TRY_REQUEST, || Ok(Box::new(service)))
    }
}
