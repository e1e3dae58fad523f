//! bore.

use std::{net::SocketAddr, path::Path};

use anyhow::Result;

use super::crates_io::Crate;
use crate::{
    process::Process,
    tunnel::{Site, Through, Tunneled},
};

pub(super) const CRATE: Crate =
    Crate { name: "bore-cli", version: "0.6.0", program: "bore", is_locked: true, features: None };

/// Its server and its client, with its defaults.
///
/// # Errors
/// One of them does not start in time.
pub(crate) fn tunnel(program: &Path, service: SocketAddr, site: Site<'_>) -> Result<Tunneled> {
    // Its control port is always 7835.
    let on = site.server.address.to_string();
    let mut server = site.server.run(|| Process::start(program, &["server", "--bind-addr", &on]))?;
    server.wait_for(|output| output.contains("server listening").then_some(()))?;
    let (host, port) = (service.ip().to_string(), service.port().to_string());
    let arguments = ["local", &port, "--local-host", &host, "--to", &on];
    let mut client = site.client.run(|| Process::start(program, &arguments))?;
    let public = client.wait_for(|output| {
        let (_, rest) = output.split_once(&format!("listening at {on}:"))?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u16>().ok()
    })?;
    Ok(Tunneled::new(Through::Bore, vec![server, client], (site.server.address, public).into()))
}
