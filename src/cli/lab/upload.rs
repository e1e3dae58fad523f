//! `relay lab upload`.

use std::{io::Write, path::PathBuf};

use clap::Args;
use tokio::fs::File;

use super::{
    client::{ClientArgs, RetryArgs, note},
    sentence,
};
use crate::{
    cli::{Failure, progress::Progress, runtime},
    lab::{ClientError, upload},
};

/// Send a file and print what the server says about it
///
/// The file may take any time, as long as the server goes on taking it. From its first byte on the answer may then take as long as
/// --timeout says, and half a second. Half a second of silence ends it too, where the server does not end its line.
#[derive(Debug, Args)]
#[command(after_help = sentence::EXIT_CODES)]
pub(crate) struct Upload {
    #[command(flatten)]
    server: ClientArgs,

    /// The file
    file: PathBuf,

    /// Send it under another name
    #[arg(long)]
    name: Option<String>,

    #[command(flatten)]
    retry: RetryArgs,
}

impl Upload {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let name = self.sent_name()?;
        runtime::block_on(async {
            let cannot_send = |error| sentence::file(&self.file, error);
            // Opened before connecting: a wrong path is the likelier mistake.
            let file = File::open(&self.file).await.map_err(cannot_send)?;
            let metadata = file.metadata().await.map_err(cannot_send)?;
            if !metadata.is_file() {
                return Err(sentence::file(&self.file, "it is not a plain file, whose size is known"));
            }
            let size = metadata.len();
            let mut connection = self.server.connect(&self.retry).await?;
            let progress = Progress::new(Some(size));
            let sent = upload(&mut connection, name.as_bytes(), size, file, |n| progress.set(n)).await;
            drop(progress);
            let confirmation = sent.map_err(sentence::client)?;
            writeln!(std::io::stdout(), "{}", confirmation.line)
                .map_err(|error| sentence::client(ClientError::Output(error)))?;
            note(if confirmation.is_verified {
                "Done: the server has the same bytes (SHA-256)."
            } else {
                "Done: the server has answered, without a SHA-256 to compare."
            });
            Ok(())
        })
    }

    /// The name that goes before the file. The protocol ends it with a line feed, so it cannot contain one.
    fn sent_name(&self) -> Result<String, Failure> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => self.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        if name.is_empty() || name.contains('\n') {
            return Err(Failure::usage(
                "the file's name is empty or has a line feed in it; give another one with --name.",
            ));
        }
        Ok(name)
    }
}
