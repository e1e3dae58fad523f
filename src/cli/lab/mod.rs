//! `relay lab`: practice servers and clients.

mod check;
mod client;
mod network;
mod proxy;
mod request;
mod sentence;
mod serve;
mod server;
mod talk;
mod upload;

use clap::{Args, Subcommand};

use super::Failure;

/// Practice servers and clients, as network courses use them, and a proxy that makes a network worse
#[derive(Debug, Args)]
#[command(after_help = sentence::EXIT_CODES)]
pub(crate) struct Lab {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(subcommand)]
    Serve(serve::Serve),
    Talk(talk::Talk),
    Request(request::Request),
    Upload(upload::Upload),
    Check(check::Check),
    Proxy(proxy::ProxyCommand),
}

impl Lab {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Serve(mode) => mode.run(),
            Command::Talk(command) => command.run(),
            Command::Request(command) => command.run(),
            Command::Upload(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Proxy(command) => command.run(),
        }
    }
}
