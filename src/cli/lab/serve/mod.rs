//! `relay lab serve`: one file per mode.

mod echo;
mod files;
mod json;
mod received;
mod timestamp;

use clap::Subcommand;

use crate::cli::Failure;

/// Run a practice server
#[derive(Debug, Subcommand)]
pub(crate) enum Serve {
    Echo(echo::EchoServer),
    Received(received::ReceivedServer),
    Timestamp(timestamp::TimestampServer),
    Json(json::JsonServer),
    Files(files::FilesServer),
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Echo(mode) => mode.run(),
            Self::Received(mode) => mode.run(),
            Self::Timestamp(mode) => mode.run(),
            Self::Json(mode) => mode.run(),
            Self::Files(mode) => mode.run(),
        }
    }
}
