//! `relay lab check`.

use std::{io::Write, num::NonZeroU32};

use clap::Args;

use super::{
    client::{ClientArgs, RetryArgs, note, on_retry},
    sentence,
    server::memory_size,
};
use crate::{
    cli::{Failure, runtime, values::Span},
    lab::{
        ClientError,
        check::{Plan, check},
    },
    size::ByteSize,
};

/// Find out whether a server is reached and answers, how fast, and what is wrong if not
///
/// The answer to a short message may take as long as --timeout says from its first byte on, and the large message with its answer 12
/// times as long; where a pause ends an answer, that pause is added.
#[derive(Debug, Args)]
#[command(after_help = sentence::EXIT_CODES)]
pub(crate) struct Check {
    #[command(flatten)]
    server: ClientArgs,

    /// Short messages, one after the other
    #[arg(long, value_name = "N", default_value = "5")]
    messages: NonZeroU32,

    /// Connections at the same time
    #[arg(long, value_name = "N", default_value = "4")]
    connections: NonZeroU32,

    /// The large message
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    size: ByteSize,

    /// A silence of this length ends an answer
    #[arg(long, value_name = "TIME", default_value = "500ms")]
    pause: Span,

    #[command(flatten)]
    retry: RetryArgs,
}

impl Check {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let target = self.server.target();
        let retry = self.retry.retry()?;
        let plan = Plan {
            retry,
            messages: self.messages.get(),
            connections: self.connections.get(),
            large_bytes: memory_size("size", self.size)?,
            pause: self.pause.0,
        };
        crate::net::raise_descriptor_limit();
        runtime::block_on(async {
            note(&format!("Checking {target}…"));
            let report = check(&target, &plan, on_retry(&retry)).await;
            write!(std::io::stdout(), "{report}")
                .map_err(|error| sentence::client(ClientError::Output(error)))?;
            match report.into_failure() {
                Some(error) => Err(sentence::client(error)),
                None => {
                    note("Everything works.");
                    Ok(())
                }
            }
        })
    }
}
