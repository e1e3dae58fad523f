//! rathole.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
};

use anyhow::Result;

use super::{crates_io::Crate, free_address};
use crate::{
    process::Process,
    tunnel::{Site, Through, Tunneled},
};

/// Without the features that encrypt: the tunnels are compared in the clear.
pub(super) const CRATE: Crate = Crate {
    name: "rathole",
    version: "0.5.0",
    program: "rathole",
    is_locked: false,
    features: Some("server,client"),
};

/// Its server and its client, with its defaults.
///
/// # Errors
/// One of them does not start in time.
pub(crate) fn tunnel(program: &Path, service: SocketAddr, site: Site<'_>) -> Result<Tunneled> {
    let on = site.server.address.into();
    let (control, public) = site.server.run(|| Ok((free_address(on)?, free_address(on)?)))?;
    let files = tempfile::tempdir()?;
    let (server_file, client_file) = (files.path().join("server.toml"), files.path().join("client.toml"));
    fs::write(
        &server_file,
        format!(
            "[server]\nbind_addr = \"{control}\"\ndefault_token = \"bench\"\n[server.services.bench]\nbind_addr = \"{public}\"\n"
        ),
    )?;
    fs::write(
        &client_file,
        format!(
            "[client]\nremote_addr = \"{control}\"\ndefault_token = \"bench\"\n[client.services.bench]\nlocal_addr = \"{service}\"\n"
        ),
    )?;
    let server = site.server.run(|| {
        let mut server = Process::start(program, &["--server", &server_file.to_string_lossy()])?;
        server.wait_for(|_| TcpStream::connect(control).ok())?;
        Ok(server)
    })?;
    let mut client =
        site.client.run(|| Process::start(program, &["--client", &client_file.to_string_lossy()]))?;
    // The server opens the public port when the client has come.
    site.server.run(|| client.wait_for(|_| TcpStream::connect(public).ok()))?;
    Ok(Tunneled::new(Through::Rathole, vec![server, client], public).with_files(files))
}
