//! `relay connect`: the interactive client.

use clap::Args;

use super::{
    Failure,
    console::Console,
    prompt::Prompt,
    relay_args::{ConnectArgs, sentence},
    secrets::CredentialArgs,
    values::{host_alone, port_alone},
};
use crate::{
    client::{Claim, Mode, Registration, Running},
    net::Target,
    wire::TextName,
};

/// Talk to others by name, interactively
///
/// Asks for commands: `recv` shows what has arrived, as Python shows bytes, or waits for it; `send` asks for a name and a text.
/// The Python client clients/python/test_client.py is used in the same way.
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// Name or address of the relay
    #[arg(value_parser = host_alone)]
    host: String,

    /// Its port
    #[arg(value_parser = port_alone)]
    port: u16,

    /// The name to register
    name: TextName,

    /// Version 1 of a relay that runs with --delivery framed: recv shows who sent a message
    #[arg(long, conflicts_with = "v2")]
    framed: bool,

    /// Version 2: recv shows who sent a message, and send says so when nobody has the name
    #[arg(long)]
    v2: bool,

    #[command(flatten)]
    connect: ConnectArgs,

    #[command(flatten)]
    credentials: CredentialArgs,
}

impl Connect {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mode = match (self.framed, self.v2) {
            (true, _) => Mode::Framed,
            (_, true) => Mode::Session,
            _ => Mode::Raw,
        };
        if mode != Mode::Session && self.credentials.is_given() {
            return Err(Failure::usage(
                "version 1 of the protocol can prove neither a token nor an owner; use --v2.",
            ));
        }
        let registration = Registration {
            relay: Target::new(self.host, self.port),
            name: self.name,
            mode,
            connect_timeout: self.connect.timeout(),
            credentials: self.credentials.read()?,
        };
        let (relay, name) = (registration.relay.clone(), registration.name.clone());
        // The link runs on a thread of its own, so that it is kept alive while a person thinks.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime =
            runtime.map_err(|e| Failure::new(format!("cannot start: {e}; raise the system's limits.")))?;
        let running = runtime.block_on(async {
            let mut claim = Claim::default();
            let link =
                registration.open(&mut claim).await.map_err(|error| sentence(&error, &relay, &name))?;
            Ok(Running::start(link, registration, claim))
        })?;
        let prompt = Prompt::start()
            .map_err(|e| Failure::new(format!("cannot start: {e}; raise the system's limits.")))?;
        let result = Console::new(runtime.handle().clone(), running, mode, relay, name, prompt).run();
        runtime.shutdown_background();
        result
    }
}
