//! How a command is told which relay to use, and what it says when that relay cannot be used.

use std::time::Duration;

use clap::Args;

use super::{Failure, values::Span};
use crate::{
    client::LinkError,
    net::{DialError, Target},
    wire::{ErrorCode, Escaped, Name},
};

/// Which relay.
#[derive(Debug, Clone, Args)]
pub(crate) struct RelayArgs {
    /// The relay
    #[arg(long, value_name = "HOST:PORT", env = "RELAY_ADDR")]
    pub(crate) relay: Target,

    /// How long connecting may take
    #[arg(long, value_name = "TIME", default_value = "5s")]
    connect_timeout: Span,
}

impl RelayArgs {
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout.0
    }
}

/// A sentence for a link that could not be made or has ended, with what to do next.
pub(crate) fn sentence(error: &LinkError, relay: &Target, name: &Name) -> Failure {
    Failure::new(match error {
        LinkError::Dial(error) => match error {
            DialError::NotFound(host) => {
                format!("the name {host} was not found; check its spelling and this machine's network.")
            }
            DialError::Refused(_) => {
                format!("{relay} refused the connection; check the port, and that `relay serve` runs there.")
            }
            DialError::TimedOut(..) => {
                format!(
                    "{error}; check the address, and that no firewall is between, or raise --connect-timeout."
                )
            }
            DialError::Unreachable(..) => format!("{error}; check the address and this machine's network."),
            DialError::Other(..) => format!("{error}."),
        },
        LinkError::NoAnswer => {
            format!("{relay} did not answer; check that it is a relay of version 2 of the protocol.")
        }
        LinkError::Refused { code: ErrorCode::NameTaken, .. } => {
            format!("the name {name} is taken at {relay}; choose another, or end the program that holds it.")
        }
        LinkError::Refused { message, .. } => format!("{relay} refused: {}.", Escaped(message.as_bytes())),
        LinkError::Ended => format!("{relay} ended the connection."),
        LinkError::Closing(_) => format!("{relay} is being stopped; try again when it is back."),
        LinkError::Dead => format!("{relay} no longer answers; check the network in between."),
        LinkError::Decode(error) => format!("{error}; check that {relay} is a relay."),
        LinkError::Io(error) => format!("the connection to {relay} broke: {error}."),
    })
}
