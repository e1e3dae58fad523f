//! The services of a command line.

use std::str::FromStr;

use super::{Entry, Expose};
use crate::{
    cli::{Failure, values::near_address},
    tunnel::Service,
    wire::TextName,
};

/// `N`, or `NAME=N`.
#[derive(Debug, Clone)]
pub(super) struct PortArg {
    service: Option<String>,
    port: u16,
}

impl FromStr for PortArg {
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
    /// The services that the words name.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, Failure> {
        let (pairs, rest) = self.services.as_chunks::<2>();
        if let [name] = rest {
            return Err(Failure::usage(format!(
                "the service {name} has no address; name one after it, such as localhost:8000."
            )));
        }
        let mut services: Vec<Service> = Vec::new();
        for [name, address] in pairs {
            let wrong = |error: String| Failure::usage(format!("{error}; see `relay expose --help`."));
            let name = name.parse::<TextName>().map_err(|error| wrong(error.to_string()))?;
            if services.iter().any(|other| other.name == name) {
                return Err(Failure::usage(format!(
                    "the name {name} is there twice; give each service another."
                )));
            }
            services.push(Service {
                name,
                address: near_address(address).map_err(wrong)?,
                port: None,
                proxy_protocol: self.proxy_protocol.is_some(),
                ready_max: self.ready,
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
        Ok(services.into_iter().map(|service| Entry { service, owner: None }).collect())
    }
}
