//! `relay lab serve echo`.

use bytesize::ByteSize;
use clap::Args;

use super::super::{
    network::NetworkArgs,
    server::{PatienceArgs, Place, Practice, ServerArgs, memory_size},
};
use crate::{cli::Failure, lab::Echo};

/// Send back every byte as it came [default port: 8887]
#[derive(Debug, Args)]
pub(crate) struct EchoServer {
    #[command(flatten)]
    place: Place,

    /// The most bytes taken and sent back at once
    #[arg(long, value_name = "SIZE", default_value = "64KiB", help_heading = "Limits")]
    max_message: ByteSize,

    #[command(flatten)]
    patience: PatienceArgs,

    #[command(flatten)]
    server: ServerArgs,

    #[command(flatten)]
    network: NetworkArgs,
}

/// When none is given.
const PORT: u16 = 8887;

impl EchoServer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let service = Echo { piece_bytes_max: memory_size("max-message", self.max_message)? };
        Practice {
            place: &self.place,
            port: PORT,
            server: &self.server,
            patience: &self.patience,
            network: self.network.network(),
            hint: "try: relay lab talk {host} {port} hello",
        }
        .run(Box::new(service))
    }
}
