//! `relay lab talk`.

use std::{
    io::{BufReader, IsTerminal, stderr, stdin, stdout},
    time::Instant,
};

use clap::Args;

use super::{
    client::{ClientArgs, RetryArgs, note},
    sentence,
};
use crate::{
    cli::{Failure, runtime, values::Span},
    lab::{
        Connection,
        talk::{Conversation, Ended, Listening, Screen, converse, read_lines, say},
    },
    size::ByteSize,
};

/// Send a message and show the answer, or hold a conversation line by line
///
/// What arrives goes to standard output, byte for byte; on a terminal, what could steer it is escaped. Everything else goes to
/// standard error. A conversation ends with quit, exit, q or the end of the input (Ctrl-D).
#[derive(Debug, Args)]
#[command(after_help = sentence::EXIT_CODES)]
pub(crate) struct Talk {
    #[command(flatten)]
    server: ClientArgs,

    /// The message; without one, lines are asked for
    message: Option<String>,

    /// End each message with a line feed, for servers that read lines
    #[arg(long)]
    newline: bool,

    /// A silence of this length ends an answer
    #[arg(long, value_name = "TIME", default_value = "500ms")]
    pause: Span,

    /// So many bytes of an answer are enough (with MESSAGE)
    #[arg(long, value_name = "SIZE", default_value = "16MiB")]
    max_bytes: ByteSize,

    #[command(flatten)]
    retry: RetryArgs,
}

impl Talk {
    pub(crate) fn run(self) -> Result<(), Failure> {
        runtime::block_on(async {
            note(&format!("Connecting to {}…", self.server.target()));
            let mut connection = self.server.connect(&self.retry).await?;
            note("Connected!");
            match &self.message {
                Some(message) => self.say(&mut connection, message).await,
                None => self.converse(&mut connection).await,
            }
        })
    }

    fn line_end(&self) -> &'static str {
        if self.newline { "\n" } else { "" }
    }

    async fn say(&self, connection: &mut Connection, message: &str) -> Result<(), Failure> {
        let mut screen = Screen::<_, std::io::Stderr>::new(stdout(), stdout().is_terminal());
        let listening = Listening { pause: self.pause.0, bytes_max: self.max_bytes.0 };
        let message = format!("{message}{}", self.line_end());
        let start = Instant::now();
        let answer = say(connection, message.as_bytes(), &listening, &mut screen).await;
        let answer = answer.map_err(sentence::client)?;
        let why = match answer.ended {
            Ended::Paused => "the server paused",
            Ended::Closed => "the server closed the connection",
            Ended::Enough => "that is as much as --max-bytes allows",
        };
        let took = start.elapsed().as_secs_f64();
        note(&format!("Done: {} bytes in {took:.3} s; {why}.", answer.bytes));
        Ok(())
    }

    async fn converse(&self, connection: &mut Connection) -> Result<(), Failure> {
        let mut screen = Screen::new(stdout(), stdout().is_terminal());
        if stdin().is_terminal() {
            note("Type a message and press Enter; quit, exit, q or Ctrl-D ends.");
            screen = screen.with_prompt(stderr(), "Message > ");
        }
        let mut lines = read_lines(BufReader::new(stdin()));
        let conversation = Conversation { pause: self.pause.0, line_end: self.line_end().as_bytes() };
        let held = converse(connection, &mut lines, &conversation, &mut screen).await;
        held.map_err(sentence::client)?;
        note("Done.");
        Ok(())
    }
}
