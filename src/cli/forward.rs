//! `relay forward`: a local port, or standard input and output, that leads to a named service.

use std::{
    io::{Write, stdout},
    net::SocketAddr,
    sync::Arc,
};

use clap::Args;

use super::{
    Failure,
    log::LogArgs,
    relay_args::{RelayArgs, sentence},
    runtime::{self, no_signals},
    secrets::TokenArgs,
    values::{Span, near_address},
};
use crate::{
    net::{Target, bind, raise_descriptor_limit, resolve, stop_signal},
    tunnel::{self, Forwarder, StandardError, join_standard},
    wire::TextName,
};

/// Connections that may wait to be accepted: a browser opens a few tens.
const BACKLOG: u32 = 1024;

/// Open a local port that leads to a named service
///
/// Each connection to the port becomes a stream to the service. What the relay refuses for good, such as a wrong token, ends the program before
/// it says that it listens; a relay that is not there yet does not. With - in place of LISTEN, standard input and output are the one stream:
/// ssh -o ProxyCommand="relay forward pi-ssh - --relay HOST:PORT" pi
#[derive(Debug, Args)]
pub(crate) struct Forward {
    /// Name of the service
    name: TextName,

    /// Where to listen: HOST:PORT, or a port of this machine; 0 takes a free one; -: standard input and output
    #[arg(default_value = "0")]
    listen: String,

    /// Try so long to open each stream, also while nobody exposes the name; without this, a few seconds if the relay is unreachable
    #[arg(long, value_name = "TIME")]
    retry_for: Option<Span>,

    #[command(flatten)]
    relay: RelayArgs,

    #[command(flatten)]
    token: TokenArgs,

    #[command(flatten)]
    log: LogArgs,
}

impl Forward {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let access = self.relay.access(self.token.read()?);
        let forwarder = Forwarder::new(access, self.name.clone(), self.retry_for.map(|time| time.0));
        if self.listen == "-" {
            self.log.install();
            return runtime::block_on(self.standard(forwarder));
        }
        let listen = near_address(&self.listen)
            .map_err(|error| Failure::usage(format!("{error}; see `relay forward --help`.")))?;
        self.log.install();
        raise_descriptor_limit();
        runtime::block_on_tunnel(self.serve(forwarder, listen))
    }

    async fn standard(&self, forwarder: Forwarder) -> Result<(), Failure> {
        let opened = forwarder.open().await;
        let (stream, received) = opened.map_err(|error| sentence(&error, &self.relay.relay, &self.name))?;
        join_standard(stream, received).await.map_err(|error| match error {
            StandardError::Stream(error) => Failure::new(format!(
                "the stream to {} broke at the relay or behind it: {error}; the log of `relay expose` may have the reason.",
                self.name
            )),
            StandardError::Output(_) => Failure::new(format!("{error}; the stream to {} is broken off.", self.name)),
        })
    }

    async fn serve(&self, forwarder: Forwarder, listen: Target) -> Result<(), Failure> {
        let address = listen_address(&listen, &self.relay).await?;
        let listener = bind(address, BACKLOG).map_err(|error| Failure::new(error.to_string()))?;
        let address = listener.local_addr().unwrap_or(address);
        // Visitors that come meanwhile wait in the backlog.
        forwarder.check().await.map_err(|error| sentence(&error, &self.relay.relay, &self.name))?;
        // Whoever closed standard output does not want to know.
        let line = format!("Listening on {address}; it leads to {}\n", self.name);
        let _ = stdout().write_all(line.as_bytes()).and_then(|()| stdout().flush());
        let stop = stop_signal().map_err(no_signals)?;
        let streams = Arc::new(tunnel::streams());
        tokio::select! {
            _ = stop => {}
            () = forwarder.serve(listener, Arc::clone(&streams)) => {}
        }
        streams.close();
        Ok(())
    }
}

async fn listen_address(listen: &Target, relay: &RelayArgs) -> Result<SocketAddr, Failure> {
    let found = resolve(listen, relay.connect_timeout()).await;
    let failed =
        |error| Failure::new(format!("{error}; listen on 127.0.0.1, or on another address of this machine."));
    let addresses = found.map_err(|error| failed(error.to_string()))?;
    addresses.first().copied().ok_or_else(|| failed(format!("{listen} has no address")))
}
