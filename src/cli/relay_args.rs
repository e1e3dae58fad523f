//! How a command is told which relay to use, and what it says when that relay cannot be used.

use std::time::Duration;

use clap::Args;

use super::{Failure, values::Span};
use crate::{
    client::{Credentials, LinkError, Mode, PythonBytes, Registration},
    net::{DialError, Target},
    tunnel::Access,
    wire::{ErrorCode, Escaped, TextName},
};

/// The variable with the relay's address.
const ADDRESS: &str = "RELAY_ADDR";

/// How a relay is connected to.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectArgs {
    /// How long connecting may take
    #[arg(long, value_name = "TIME", default_value = "5s")]
    connect_timeout: Span,
}

impl ConnectArgs {
    pub(crate) fn timeout(&self) -> Duration {
        self.connect_timeout.0
    }
}

/// Which relay.
#[derive(Debug, Clone, Args)]
pub(crate) struct RelayArgs {
    /// The relay
    #[arg(long, value_name = "HOST:PORT", env = "RELAY_ADDR")]
    pub(crate) relay: Target,

    #[command(flatten)]
    connect: ConnectArgs,
}

impl RelayArgs {
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect.timeout()
    }

    /// A session of messages under `name`.
    pub(crate) fn registration(&self, name: &TextName, credentials: Credentials) -> Registration {
        Registration {
            relay: self.relay.clone(),
            name: name.clone(),
            mode: Mode::Session,
            connect_timeout: self.connect_timeout(),
            credentials,
        }
    }

    /// The same for tunnels.
    pub(crate) fn access(&self, credentials: Credentials) -> Access {
        Access { relay: self.relay.clone(), credentials, connect_timeout: self.connect_timeout() }
    }
}

/// What to do about a name that only mDNS knows.
const MDNS: &str = "names in .local need mDNS, which this program does not speak: use the IP address, or add the name to the \
                    hosts file of this machine";

/// A sentence for a link that could not be made or has ended, with what to do next.
pub(crate) fn sentence(error: &LinkError, relay: &Target, name: &TextName) -> Failure {
    let sentence = words(error, relay, name);
    // Whoever reads it may have forgotten what is in the environment.
    let doubts_address = matches!(
        error,
        LinkError::Dial(_)
            | LinkError::NoAnswer
            | LinkError::Decode(_)
            | LinkError::Refused { code: ErrorCode::Unauthorized, .. }
    );
    if doubts_address && is_from_environment(relay) {
        return Failure::new(format!("{}; the address is from RELAY_ADDR.", sentence.trim_end_matches('.')));
    }
    Failure::new(sentence)
}

fn words(error: &LinkError, relay: &Target, name: &TextName) -> String {
    match error {
        LinkError::Dial(error) => match error {
            error if error.needs_mdns() => format!("{error}; {MDNS}."),
            DialError::NoNameServer(_) => {
                format!("{error}; check this machine's network and its DNS, or use the relay's address.")
            }
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
            DialError::NoInterface(_) => format!("{error}; add it, such as fe80::1%eth0."),
            DialError::NoLocalPort(_) => {
                format!("{error}; end some, or widen the system's range of local ports.")
            }
            DialError::Other(..) => format!("{error}."),
        },
        LinkError::NoAnswer => {
            format!("{relay} did not answer; check that it is a relay of version 2 of the protocol.")
        }
        LinkError::Refused { code: ErrorCode::NameTaken, .. } => {
            format!("the name {name} is taken at {relay}; choose another, or end the program that holds it.")
        }
        LinkError::NoToken => {
            format!("{relay} asks for a token; set RELAY_TOKEN, or name its file with --token-file.")
        }
        LinkError::Refused { code: ErrorCode::Replaced, .. } => {
            format!(
                "another program of the same owner has taken the name {name} at {relay}; end one of the two."
            )
        }
        LinkError::Refused { code: ErrorCode::Unauthorized, message } => format!(
            "{relay} refused: {}; check the token, and what its operator allows.",
            Escaped(message.as_bytes())
        ),
        LinkError::Refused { code: ErrorCode::NoSuchService, .. } => {
            format!("nobody exposes {name} at {relay}; start `relay expose {name} ...` or check the name.")
        }
        LinkError::Refused { code: ErrorCode::PortNotAllowed, message } => format!(
            "{relay} refused: {}; leave out --port, or ask its operator for --public-ports.",
            Escaped(message.as_bytes())
        ),
        LinkError::Refused { message, .. } => format!("{relay} refused: {}.", Escaped(message.as_bytes())),
        LinkError::Ended => format!("{relay} ended the connection."),
        LinkError::Closing(_) => format!("{relay} is being stopped; try again when it is back."),
        LinkError::Dead => format!("{relay} no longer answers; check the network in between."),
        LinkError::HeldBack => {
            format!("{relay} has not taken what was sent; most likely the recipient reads too slowly.")
        }
        LinkError::Decode(error) => format!("{error}; check that {relay} is a relay."),
        LinkError::NotFrames(bytes) => format!(
            "{relay} sent {}, which is no frame; if it runs with --delivery raw, which is the default, leave out --framed.",
            PythonBytes(bytes)
        ),
        LinkError::Io(error) => format!("the connection to {relay} broke: {error}."),
    }
}

/// Whether the environment names this relay, and the command line does not name another way to it.
fn is_from_environment(relay: &Target) -> bool {
    let is_given = std::env::args_os().any(|word| word.to_string_lossy().starts_with("--relay"));
    !is_given && std::env::var(ADDRESS).is_ok_and(|address| address.parse() == Ok(relay.clone()))
}
