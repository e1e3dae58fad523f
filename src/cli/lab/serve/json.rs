//! `relay lab serve json`.

use bytesize::ByteSize;
use clap::Args;

use super::super::{
    network::NetworkArgs,
    server::{PatienceArgs, Place, Practice, ServerArgs, memory_size},
};
use crate::{cli::Failure, lab::Json};

/// Answer frames of a 4-byte length and JSON with the same [default port: 8889]
#[derive(Debug, Args)]
pub(crate) struct JsonServer {
    #[command(flatten)]
    place: Place,

    /// The longest frame
    #[arg(long, value_name = "SIZE", default_value = "1MiB", help_heading = "Limits")]
    max_message: ByteSize,

    #[command(flatten)]
    patience: PatienceArgs,

    #[command(flatten)]
    server: ServerArgs,

    #[command(flatten)]
    network: NetworkArgs,
}

/// When none is given.
const PORT: u16 = 8889;

impl JsonServer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let service = Json::new(memory_size("max-message", self.max_message)?);
        Practice {
            place: &self.place,
            port: PORT,
            server: &self.server,
            patience: &self.patience,
            network: self.network.network(),
            hint: "try: relay lab request {host} {port} '{\"command\":\"get_status\"}'",
        }
        .run(Box::new(service))
    }
}
