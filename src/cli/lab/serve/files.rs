//! `relay lab serve files`.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;

use super::super::{
    network::NetworkArgs,
    sentence,
    server::{PatienceArgs, Place, Practice, ServerArgs},
};
use crate::{
    cli::Failure,
    lab::files::{Files, Folder},
};

/// Take files and answer each with its size and SHA-256 [default port: 8890]
#[derive(Debug, Args)]
pub(crate) struct FilesServer {
    #[command(flatten)]
    place: Place,

    /// The directory for the files; it is made if there is none
    #[arg(long, value_name = "DIR")]
    into: PathBuf,

    /// Replace files that exist
    #[arg(long)]
    overwrite: bool,

    /// The largest file
    #[arg(long, value_name = "SIZE", default_value = "1GiB", help_heading = "Limits")]
    max_size: ByteSize,

    #[command(flatten)]
    patience: PatienceArgs,

    #[command(flatten)]
    server: ServerArgs,

    #[command(flatten)]
    network: NetworkArgs,
}

/// When none is given.
const PORT: u16 = 8890;

impl FilesServer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.into).map_err(|error| sentence::directory(&self.into, &error))?;
        let service = Files {
            folder: Folder {
                directory: self.into.clone(),
                overwrite: self.overwrite,
                size_max: self.max_size.as_u64(),
            },
        };
        Practice {
            place: &self.place,
            port: PORT,
            server: &self.server,
            patience: &self.patience,
            network: self.network.network(),
            hint: "try: relay lab upload {host} {port} FILE",
        }
        .run(Box::new(service))
    }
}
