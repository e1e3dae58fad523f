//! `relay expose`: makes local services reachable under names.

use std::{
    io::{Write, stdout},
    time::Duration,
};

use clap::Args;
use tokio::task::JoinSet;

use super::{
    Failure,
    log::LogArgs,
    relay_args::{RelayArgs, sentence},
    runtime::{self, no_signals},
    values::{Span, near_address},
};
use crate::{
    net::{Target, raise_descriptor_limit, stop_signal},
    tunnel::{Access, Exposer, Service},
    wire::Name,
};

/// Make a local service reachable under a name
///
/// Others reach it with `relay forward NAME`, and with --port anybody does, on a port of the relay's machine. The link is kept up: after
/// every loss it is made again. Several services: repeat NAME and ADDR.
#[derive(Debug, Args)]
pub(crate) struct Expose {
    /// Name to be reached under, and where the service is: HOST:PORT, or a port of this machine; may be repeated
    #[arg(value_names = ["NAME", "ADDR"], num_args = 2.., required = true)]
    services: Vec<String>,

    /// Also on this public port of the relay's machine, where its operator allows that; 0: any. With several services: NAME=N
    #[arg(long, value_name = "[NAME=]N")]
    port: Vec<PortArg>,

    /// Tell the service each visitor's address in a header before its bytes
    #[arg(long, value_name = "VERSION", value_parser = ["v2"])]
    proxy_protocol: Option<String>,

    /// Give up after so long without the relay; without this, never
    #[arg(long, value_name = "TIME")]
    retry_for: Option<Span>,

    #[command(flatten)]
    relay: RelayArgs,

    #[command(flatten)]
    log: LogArgs,
}

/// `N`, or `NAME=N`.
#[derive(Debug, Clone)]
struct PortArg {
    service: Option<String>,
    port: u16,
}

impl std::str::FromStr for PortArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, number) = match text.rsplit_once('=') {
            Some((service, number)) => (Some(service.to_owned()), number),
            None => (None, text),
        };
        let port = number.parse().map_err(|_| format!("`{number}` is not a port: 0 to 65535"))?;
        Ok(Self { service, port })
    }
}

impl Expose {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let services = self.services()?;
        let access = Access {
            relay: self.relay.relay.clone(),
            credentials: self.relay.credentials()?,
            connect_timeout: self.relay.connect_timeout(),
        };
        self.log.install();
        raise_descriptor_limit();
        let retry_for = self.retry_for.map(|time| time.0);
        runtime::block_on_workers(None, run(access, services, retry_for))
    }

    fn services(&self) -> Result<Vec<Service>, Failure> {
        let (pairs, rest) = self.services.as_chunks::<2>();
        if let [name] = rest {
            return Err(Failure::usage(format!(
                "the service {name} has no address; name one after it, such as localhost:8000."
            )));
        }
        let mut services = Vec::new();
        for [name, address] in pairs {
            let wrong = |error: String| Failure::usage(format!("{error}; see `relay expose --help`."));
            services.push(Service {
                name: name.parse::<Name>().map_err(|error| wrong(error.to_string()))?,
                address: near_address(address).map_err(wrong)?,
                port: None,
                proxy_protocol: self.proxy_protocol.is_some(),
            });
        }
        for wanted in &self.port {
            let service = match (&wanted.service, services.as_mut_slice()) {
                (None, [only]) => Some(only),
                (None, _) => {
                    return Err(Failure::usage(format!(
                        "--port {} is whose? With several services write NAME={}.",
                        wanted.port, wanted.port
                    )));
                }
                (Some(name), all) => all.iter_mut().find(|one| one.name.as_bytes() == name.as_bytes()),
            };
            let unknown =
                || Failure::usage("--port names a service that is not exposed here; check its spelling.");
            service.ok_or_else(unknown)?.port = Some(wanted.port);
        }
        Ok(services)
    }
}

/// Exposes all services until a signal ends the program or one of them cannot be exposed.
async fn run(access: Access, services: Vec<Service>, retry_for: Option<Duration>) -> Result<(), Failure> {
    let mut exposers = JoinSet::new();
    for service in services {
        let (relay, name) = (access.relay.clone(), service.name.clone());
        let exposer = Exposer::new(access.clone(), service, retry_for);
        exposers.spawn(async move {
            let shown = relay.clone();
            let error = exposer.run(move |service, port| announce(&shown, service, port)).await;
            sentence(&error, &relay, &name)
        });
    }
    let stop = stop_signal().map_err(no_signals)?;
    tokio::select! {
        _ = stop => Ok(()),
        Some(Ok(failure)) = exposers.join_next() => Err(failure),
    }
}

/// The line that says how the service is reached. Programs that expose one wait for it.
fn announce(relay: &Target, service: &Service, port: Option<u16>) {
    let (name, address) = (&service.name, &service.address);
    let mut line = format!("{address} is reached with: relay forward {name} --relay {relay}");
    if let Some(port) = port {
        let public = Target::new(relay.host(), port);
        line = format!("{address} is reached at {public} and with: relay forward {name} --relay {relay}");
    }
    // Whoever closed standard output does not want to know.
    let _ = stdout().write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout().flush());
}
