//! The command line: one file per command, each with its arguments and a `run`. No logic lives here, but this is where errors
//! become sentences for people.

mod completions;
mod config;
mod connect;
mod console;
mod expose;
mod failure;
mod forward;
mod lab;
mod log;
mod man;
mod output;
mod progress;
mod prompt;
mod recv;
mod relay_args;
mod result;
mod runtime;
mod secrets;
mod send;
mod serve;
mod sink;
mod text;
mod unread;
mod values;

use clap::{Parser, Subcommand};

pub use failure::Failure;
pub use runtime::aside;
pub use unread::unread;

/// Devices talk by name through a relay that anyone can host.
#[derive(Debug, Parser)]
#[command(name = "relay", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Connect(connect::Connect),
    Send(send::Send),
    Recv(recv::Recv),
    Expose(expose::Expose),
    Forward(forward::Forward),
    Completions(completions::Completions),
    Man(man::Man),
    Lab(lab::Lab),
}

impl Cli {
    /// Runs the command to its end.
    ///
    /// # Errors
    /// A [`Failure`]: one sentence for the person and the exit code.
    pub fn run(self) -> Result<(), Failure> {
        let result = match self.command {
            Command::Serve(command) => command.run(),
            Command::Connect(command) => command.run(),
            Command::Send(command) => command.run(),
            Command::Recv(command) => command.run(),
            Command::Expose(command) => command.run(),
            Command::Forward(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
            Command::Lab(command) => command.run(),
        };
        log::flush();
        result
    }
}
