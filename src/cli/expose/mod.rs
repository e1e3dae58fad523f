//! `relay expose`: makes local services reachable under names.

mod file;
mod words;

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, FromArgMatches, builder::RangedU64ValueParser};
use tokio::task::JoinSet;

use self::words::PortArg;
use super::{
    Failure,
    config::merge,
    log::{LogArgs, say},
    relay_args::{ConnectArgs, sentence},
    runtime::{self, no_signals},
    secrets::CredentialArgs,
    values::Span,
};
use crate::{
    net::{Target, raise_descriptor_limit, stop_signal},
    tunnel::{self, Access, Exposer, Service},
    wire::Secret,
};

/// As many connections are kept ready for a service at most: the relay takes no more.
const READY_MAX: u64 = 256;

/// Make a local service reachable under a name
///
/// Others reach it with `relay forward NAME`, and with --port anybody does, on a port of the relay's machine. The link is kept up: after
/// every loss it is made again. Several services: repeat NAME and ADDR, or write them to a file.
#[derive(Debug, Args)]
pub(crate) struct Expose {
    /// Name to be reached under, and where the service is: HOST:PORT, or a port of this machine; may be repeated
    #[arg(value_names = ["NAME", "ADDR"], num_args = 2.., required_unless_present = "config")]
    services: Vec<String>,

    /// TOML file with the services, and any of the other options under the same names
    #[arg(long, value_name = "FILE", conflicts_with_all = ["services", "port", "proxy_protocol", "ready"])]
    config: Option<PathBuf>,

    /// Also on this public port of the relay's machine, where its operator allows that; 0: any. With several services: NAME=N
    #[arg(long, value_name = "[NAME=]N")]
    port: Vec<PortArg>,

    /// Tell the service each visitor's address in a header before its bytes
    #[arg(long, value_name = "VERSION", value_parser = ["v2"])]
    proxy_protocol: Option<String>,

    /// Keep at most so many connections ready, for visitors that come at the same moment
    #[arg(long, value_name = "N", default_value = "64",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=READY_MAX))]
    ready: usize,

    /// Give up after so long without the relay; without this, never
    #[arg(long, value_name = "TIME")]
    retry_for: Option<Span>,

    /// The relay
    #[arg(long, value_name = "HOST:PORT", env = "RELAY_ADDR", required_unless_present = "config")]
    relay: Option<Target>,

    #[command(flatten)]
    connect: ConnectArgs,

    #[command(flatten)]
    credentials: CredentialArgs,

    #[command(flatten)]
    log: LogArgs,
}

/// A service, and the secret of its owner where that is its own.
#[derive(Debug)]
struct Entry {
    service: Service,
    owner: Option<Secret>,
}

impl Expose {
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let entries = match &self.config {
            None => self.entries()?,
            Some(path) => {
                let file = file::read(path)?;
                let after = merge("expose", &file.options)?.after;
                let wrong = |error: clap::Error| Failure::usage(error.to_string());
                self = Self::from_arg_matches(&after).map_err(wrong)?;
                file.entries
            }
        };
        let relay = self.relay.take().ok_or_else(|| {
            Failure::usage("the file names no relay; add relay = \"HOST:PORT\" at its top, or use --relay.")
        })?;
        let credentials = self.credentials.read()?;
        let access = Access { relay, credentials, connect_timeout: self.connect.timeout() };
        self.log.install();
        raise_descriptor_limit();
        let retry_for = self.retry_for.map(|time| time.0);
        runtime::block_on_tunnel(run(access, entries, retry_for))
    }
}

/// Exposes all services until a signal ends the program or one of them cannot be exposed.
async fn run(access: Access, entries: Vec<Entry>, retry_for: Option<Duration>) -> Result<(), Failure> {
    let streams = Arc::new(tunnel::streams());
    let mut exposers = JoinSet::new();
    for Entry { service, owner } in entries {
        let (relay, name) = (access.relay.clone(), service.name.clone());
        let mut access = access.clone();
        access.credentials.owner = owner.or(access.credentials.owner);
        let exposer = Exposer::new(access, service, Arc::clone(&streams), retry_for);
        exposers.spawn(async move {
            let shown = relay.clone();
            let error = exposer.run(move |service, port| announce(&shown, service, port)).await;
            sentence(&error, &relay, &name)
        });
    }
    let stop = stop_signal().map_err(no_signals)?;
    let result = tokio::select! {
        _ = stop => Ok(()),
        Some(Ok(failure)) = exposers.join_next() => Err(failure),
    };
    streams.close();
    result
}

/// The line that says how the service is reached. Programs that expose one wait for it.
fn announce(relay: &Target, service: &Service, port: Option<u16>) {
    let (name, address) = (&service.name, &service.address);
    let local = local_port(address.port());
    let mut line = format!("{address} is reached with: relay forward {name} {local} --relay {relay}");
    if let Some(port) = port {
        let public = Target::new(relay.host(), port);
        line = format!(
            "{address} is reached at {public} and with: relay forward {name} {local} --relay {relay}"
        );
    }
    say(&line);
}

/// The port that `forward` is to listen on where the service is wanted: the service's own, or one that needs no rights.
fn local_port(port: u16) -> u16 {
    if port < 1024 { 8000 + port } else { port }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_that_forward_is_told_needs_no_rights() {
        for (port, local) in [(22, 8022), (80, 8080), (1023, 9023), (1024, 1024), (65535, 65535)] {
            assert_eq!(local_port(port), local);
        }
    }
}
