//! `relay lab serve files`.

use std::path::PathBuf;

use clap::Args;

use super::super::{sentence, server::PracticeArgs};
use crate::{
    cli::Failure,
    lab::files::{Files, Folder},
    size::ByteSize,
};

/// Take files and answer each with its size and SHA-256 [default port: 8890]
#[derive(Debug, Args)]
pub(crate) struct FilesServer {
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
    practice: PracticeArgs,
}

/// When none is given.
const PORT: u16 = 8890;

impl FilesServer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.practice.run(PORT, "try: relay lab upload {host} {port} FILE", || {
            let cannot_use = |error| sentence::directory(&self.into, &error);
            std::fs::create_dir_all(&self.into).map_err(cannot_use)?;
            let folder =
                Folder { directory: self.into.clone(), overwrite: self.overwrite, size_max: self.max_size.0 };
            folder.remove_stale().map_err(cannot_use)?;
            Ok(Box::new(Files { folder }))
        })
    }
}
