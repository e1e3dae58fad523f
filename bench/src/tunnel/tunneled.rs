//! The ways to the service: each tunnel as its users run it, a server and a client, with its defaults.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{
    service::{Wish, answer, visit},
    site::Site,
};
use crate::{
    peers::{Peer, Peers, bore, haproxy, rathole, relay},
    process::Process,
    results::RELAY,
};

/// How the service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    Relay,
    Bore,
    Rathole,
    /// A proxy in front of the service: one hop less than the tunnels have.
    Haproxy,
    /// A proxy in front of a proxy: as many hops as the tunnels have.
    HaproxyTwice,
    /// The service itself.
    Nothing,
}

impl Through {
    /// In the order of their turns.
    pub(super) const ALL: &[Self] =
        &[Self::Relay, Self::Bore, Self::Rathole, Self::Haproxy, Self::HaproxyTwice, Self::Nothing];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Relay => RELAY,
            Self::Bore => "bore",
            Self::Rathole => "rathole",
            Self::Haproxy => "HAProxy, one hop",
            Self::HaproxyTwice => "HAProxy, two hops",
            Self::Nothing => "no tunnel",
        }
    }

    /// The program that it takes.
    pub(super) fn peer(self) -> Option<Peer> {
        match self {
            Self::Relay | Self::Nothing => None,
            Self::Bore => Some(Peer::Bore),
            Self::Rathole => Some(Peer::Rathole),
            Self::Haproxy | Self::HaproxyTwice => Some(Peer::Haproxy),
        }
    }

    pub(super) fn is_there(self, peers: &Peers) -> bool {
        self.peer().is_none_or(|peer| peers.get(peer).is_ok())
    }
}

/// The other tunnels, by their labels: what the relay is compared with.
pub(super) const TUNNELS: &[&str] = &["bore", "rathole"];

/// Makes the service at the site's client reachable that way at its server.
///
/// # Errors
/// A program is not to be had or does not start.
pub(crate) fn start(peers: &Peers, way: Through, service: SocketAddr, site: Site<'_>) -> Result<Tunneled> {
    match way {
        Through::Relay => relay::tunnel(&peers.relay, service, site),
        Through::Bore => bore::tunnel(peers.get(Peer::Bore)?, service, site),
        Through::Rathole => rathole::tunnel(peers.get(Peer::Rathole)?, service, site),
        Through::Haproxy => haproxy::one_hop(peers.get(Peer::Haproxy)?, service, site),
        Through::HaproxyTwice => haproxy::two_hops(peers.get(Peer::Haproxy)?, service, site),
        Through::Nothing => Ok(Tunneled::new(way, vec![], service)),
    }
}

/// The same, certain that our own service answers through it.
///
/// # Errors
/// It does not.
pub(crate) fn verified(peers: &Peers, way: Through, service: SocketAddr, site: Site<'_>) -> Result<Tunneled> {
    let tunnel = start(peers, way, service, site)?;
    site.server
        .run(|| answer(&mut visit(tunnel.address, Wish::Echo)?))
        .with_context(|| format!("through {}:\n{}", way.label(), tunnel.log()))?;
    Ok(tunnel)
}

/// A way to the service; its processes are killed when dropped.
#[derive(Debug)]
pub(crate) struct Tunneled {
    pub(crate) way: Through,
    /// The server first.
    processes: Vec<Process>,
    /// Where visitors connect.
    pub(crate) address: SocketAddr,
    _files: Option<TempDir>,
}

impl Tunneled {
    pub(crate) fn new(way: Through, processes: Vec<Process>, address: SocketAddr) -> Self {
        Self { way, processes, address, _files: None }
    }

    /// Keeps these as long as the tunnel.
    pub(crate) fn with_files(self, files: TempDir) -> Self {
        Self { _files: Some(files), ..self }
    }

    /// Processor time of all its processes so far, in seconds; no number without processes.
    pub(crate) fn cpu(&self) -> Result<f64> {
        if self.processes.is_empty() {
            return Ok(f64::NAN);
        }
        let nanoseconds: u64 = self.processes.iter().map(Process::cpu).sum::<Result<u64>>()?;
        Ok(nanoseconds as f64 / 1e9)
    }

    /// The numbers of its processes.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::id).collect()
    }

    /// Resident memory of its server, in bytes; 0 without one.
    pub(crate) fn server_resident(&self) -> Result<u64> {
        self.processes.first().map_or(Ok(0), Process::resident)
    }

    fn log(&self) -> String {
        self.processes.iter().map(Process::log).collect()
    }
}
