//! The relay itself.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

use anyhow::Result;

use super::free_address;
use crate::{
    process::Process,
    tunnel::{Site, Through, Tunneled},
};

/// Starts a relay on this address with these options and tells where it listens.
///
/// # Errors
/// It does not start in time.
pub(crate) fn server(program: &Path, on: IpAddr, options: &[&str]) -> Result<(Process, SocketAddr)> {
    let listen = SocketAddr::new(on, 0).to_string();
    let mut arguments = vec!["serve", "--listen", &listen, "--log-level", "warn"];
    arguments.extend(options);
    let mut process = Process::start(program, &arguments)?;
    let address = process.wait_for(|output| {
        let rest = output.lines().find_map(|line| line.strip_prefix("Listening on "))?;
        rest.split([';', ' ']).next()?.parse().ok()
    })?;
    Ok((process, address))
}

/// A relay with a public port, and the service's `expose`.
///
/// # Errors
/// One of them does not start in time.
pub(crate) fn tunnel(program: &Path, service: SocketAddr, site: Site<'_>) -> Result<Tunneled> {
    let on = site.server.address.into();
    let (server, address) = site.server.run(|| {
        let port = free_address(on)?.port();
        server(program, on, &["--public-ports", &format!("{port}-{port}")])
    })?;
    let (service, address) = (service.to_string(), address.to_string());
    let arguments = ["expose", "bench", &service, "--relay", &address, "--port", "0", "--log-level", "warn"];
    let mut client = site.client.run(|| Process::start(program, &arguments))?;
    let public = client.wait_for(|output| {
        let (_, rest) = output.split_once("is reached at ")?;
        rest.split(' ').next()?.parse().ok()
    })?;
    Ok(Tunneled::new(Through::Relay, vec![server, client], public))
}
