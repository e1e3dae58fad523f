//! The ways to the service: each tunnel as its users run it, a server and a client, with its defaults.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use xshell::cmd;

use super::{
    service::{Wish, answer, visit},
    site::Site,
};
use crate::{
    crates::Crate,
    process::Process,
    project,
    server::{free_address, start_relay},
};

const BORE: Crate =
    Crate { name: "bore-cli", version: "0.6.0", program: "bore", is_locked: true, features: None };

/// Without the features that encrypt: the tunnels are compared in the clear.
const RATHOLE: Crate = Crate {
    name: "rathole",
    version: "0.5.0",
    program: "rathole",
    is_locked: false,
    features: Some("server,client"),
};

/// How the service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Through {
    Relay,
    Bore,
    Rathole,
    /// A proxy in front of the service: one hop less than the tunnels have.
    Haproxy,
    /// The service itself.
    Nothing,
}

impl Through {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Bore => "bore",
            Self::Rathole => "rathole",
            Self::Haproxy => "HAProxy, one hop",
            Self::Nothing => "no tunnel",
        }
    }
}

/// The other tunnels.
pub(super) const TUNNELS: &[Through] = &[Through::Bore, Through::Rathole];

/// The programs of a run.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) relay: PathBuf,
    peers: Option<Peers>,
}

#[derive(Debug)]
struct Peers {
    bore: PathBuf,
    rathole: PathBuf,
    haproxy: PathBuf,
}

impl Programs {
    /// Has the peers at hand, built when they are not there yet.
    ///
    /// # Errors
    /// One of them is not to be had.
    pub(super) fn find(relay: PathBuf, no_peer: bool) -> Result<Self> {
        if no_peer {
            return Ok(Self { relay, peers: None });
        }
        let (bore, rathole) = (BORE.install()?, RATHOLE.install()?);
        let sbin = Path::new("/usr/sbin/haproxy");
        let haproxy = if sbin.is_file() { sbin } else { Path::new("haproxy") };
        let peers = Peers { bore, rathole, haproxy: haproxy.to_owned() };
        Ok(Self { relay, peers: Some(peers) })
    }

    /// The ways these programs make, the relay's first.
    pub(super) fn ways(&self) -> Vec<Through> {
        match self.peers {
            Some(_) => {
                vec![Through::Relay, Through::Bore, Through::Rathole, Through::Haproxy, Through::Nothing]
            }
            None => vec![Through::Relay, Through::Nothing],
        }
    }

    /// The peers' versions, in words.
    ///
    /// # Errors
    /// HAProxy does not run.
    pub(super) fn versions(&self) -> Result<String> {
        let Some(Peers { haproxy, .. }) = &self.peers else { return Ok("no peer".to_owned()) };
        let sh = project::shell()?;
        let said = cmd!(sh, "{haproxy} -v").quiet().read();
        let said = said.context("HAProxy does not run (apt install haproxy)")?;
        let version = said.split(' ').nth(2).unwrap_or("of unknown version");
        Ok(format!("bore {}, rathole {}, HAProxy {version}", BORE.version, RATHOLE.version))
    }

    /// Makes the service at the site's client reachable that way at its server, and is certain that it is.
    ///
    /// # Errors
    /// A program does not start.
    pub(super) fn start(&self, way: Through, service: SocketAddr, site: Site<'_>) -> Result<Tunneled> {
        let tunnel = match (way, &self.peers) {
            (Through::Relay, _) => relay(&self.relay, service, site)?,
            (Through::Nothing, _) => Tunneled::new(way, vec![], service),
            (Through::Bore, Some(peers)) => bore(&peers.bore, service, site)?,
            (Through::Rathole, Some(peers)) => rathole(&peers.rathole, service, site)?,
            (Through::Haproxy, Some(peers)) => haproxy(&peers.haproxy, service, site)?,
            _ => bail!("there is no peer in this run"),
        };
        site.server
            .run(|| answer(&mut visit(tunnel.address, Wish::Echo)?))
            .with_context(|| format!("through {}:\n{}", way.label(), tunnel.log()))?;
        Ok(tunnel)
    }
}

/// A way to the service; its processes are killed when dropped.
#[derive(Debug)]
pub(super) struct Tunneled {
    pub(super) way: Through,
    /// The server first.
    processes: Vec<Process>,
    /// Where visitors connect.
    pub(super) address: SocketAddr,
    _files: Option<TempDir>,
}

impl Tunneled {
    fn new(way: Through, processes: Vec<Process>, address: SocketAddr) -> Self {
        Self { way, processes, address, _files: None }
    }

    /// Processor time of all its processes so far, in nanoseconds.
    pub(super) fn cpu(&self) -> Result<u64> {
        self.processes.iter().map(Process::cpu).sum()
    }

    /// Resident memory of its server, in bytes; 0 without one.
    pub(super) fn server_resident(&self) -> Result<u64> {
        self.processes.first().map_or(Ok(0), Process::resident)
    }

    fn log(&self) -> String {
        self.processes.iter().map(Process::log).collect()
    }
}

fn relay(program: &Path, service: SocketAddr, site: Site<'_>) -> Result<Tunneled> {
    let on = site.server.address.into();
    let (server, address) = site.server.run(|| {
        let port = free_address(on)?.port();
        start_relay(program, on, &["--public-ports", &format!("{port}-{port}")])
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

fn bore(program: &Path, service: SocketAddr, site: Site<'_>) -> Result<Tunneled> {
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

fn rathole(program: &Path, service: SocketAddr, site: Site<'_>) -> Result<Tunneled> {
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
    Ok(Tunneled { _files: Some(files), ..Tunneled::new(Through::Rathole, vec![server, client], public) })
}

fn haproxy(program: &Path, service: SocketAddr, site: Site<'_>) -> Result<Tunneled> {
    let public = site.server.run(|| free_address(site.server.address.into()))?;
    let files = tempfile::tempdir()?;
    let file = files.path().join("haproxy.cfg");
    fs::write(
        &file,
        format!(
            "global\n maxconn 9000\ndefaults\n mode tcp\n timeout connect 10s\n timeout client 1h\n timeout server 1h\n\
             listen bench\n bind {public}\n server service {service}\n"
        ),
    )?;
    let server = site.server.run(|| {
        let mut server = Process::start(program, &["-db", "-f", &file.to_string_lossy()])
            .context("HAProxy is needed (apt install haproxy)")?;
        server.wait_for(|_| TcpStream::connect(public).ok())?;
        Ok(server)
    })?;
    Ok(Tunneled { _files: Some(files), ..Tunneled::new(Through::Haproxy, vec![server], public) })
}
