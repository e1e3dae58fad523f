//! `relay lab request`.

use std::io::{self, IsTerminal, Read, Write};

use clap::Args;

use super::{
    client::{ClientArgs, RetryArgs},
    sentence,
    server::memory_size,
};
use crate::{
    cli::{Failure, runtime},
    lab::{ClientError, TerminalText, request},
    size::ByteSize,
};

/// Send length-prefixed JSON and print the answer
///
/// From its first byte on the answer may take 12 times as long as --timeout says, and a second more for every 1000 bytes of it that have
/// come.
#[derive(Debug, Args)]
#[command(after_help = sentence::EXIT_CODES)]
pub(crate) struct Request {
    #[command(flatten)]
    server: ClientArgs,

    /// The request, such as '{"command":"get_status"}'; - reads it from standard input
    json: String,

    /// The longest answer
    #[arg(long, value_name = "SIZE", default_value = "16MiB")]
    max_bytes: ByteSize,

    #[command(flatten)]
    retry: RetryArgs,
}

impl Request {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let json = self.read_json()?;
        if let Err(error) = serde_json::from_slice::<serde_json::Value>(&json) {
            return Err(Failure::usage(format!(
                "the request is not JSON ({error}); put it in quotes that your shell keeps, or use - and standard input."
            )));
        }
        let bytes_max = memory_size("max-bytes", self.max_bytes)?;
        runtime::block_on(async {
            let mut connection = self.server.connect(&self.retry).await?;
            let answer = request(&mut connection, &json, bytes_max).await.map_err(sentence::client)?;
            print(&answer).map_err(|error| sentence::client(ClientError::Output(error)))
        })
    }

    fn read_json(&self) -> Result<Vec<u8>, Failure> {
        if self.json != "-" {
            return Ok(self.json.clone().into_bytes());
        }
        let mut json = Vec::new();
        // One byte more than any frame has tells an input that is too long from one that just fits.
        let limit = u64::from(u32::MAX) + 1;
        io::stdin().take(limit).read_to_end(&mut json).map_err(|e| {
            Failure::new(format!("cannot read standard input: {e}; give the request as an argument."))
        })?;
        Ok(json)
    }
}

/// The answer and the end of its line; on a terminal, what could steer it is escaped.
fn print(answer: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    if out.is_terminal() {
        let mut text = TerminalText::default();
        let shown = text.push(answer) + &text.finish();
        out.write_all(shown.as_bytes())?;
    } else {
        out.write_all(answer)?;
    }
    out.write_all(b"\n")?;
    out.flush()
}
