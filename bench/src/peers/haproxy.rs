//! HAProxy as a TCP proxy that splices: in front of the service, or twice, which is as many hops as a tunnel has.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::free_address;
use crate::{
    machine,
    process::Process,
    tunnel::{Site, Through, Tunneled},
};

/// In front of the service.
///
/// # Errors
/// It does not start in time.
pub(crate) fn one_hop(program: &Path, service: SocketAddr, site: Site<'_>) -> Result<Tunneled> {
    let files = tempfile::tempdir()?;
    let (process, public) =
        site.server.run(|| proxy(program, &files, service, site.server.address.into()))?;
    Ok(Tunneled::new(Through::Haproxy, vec![process], public).with_files(files))
}

/// One in front of another in front of the service.
///
/// # Errors
/// One of them does not start in time.
pub(crate) fn two_hops(program: &Path, service: SocketAddr, site: Site<'_>) -> Result<Tunneled> {
    let files = tempfile::tempdir()?;
    let (near, between) = site.client.run(|| proxy(program, &files, service, site.client.address.into()))?;
    let (far, public) = site.server.run(|| proxy(program, &files, between, site.server.address.into()))?;
    Ok(Tunneled::new(Through::HaproxyTwice, vec![far, near], public).with_files(files))
}

fn proxy(
    program: &Path,
    files: &TempDir,
    to: SocketAddr,
    on: std::net::IpAddr,
) -> Result<(Process, SocketAddr)> {
    let public = free_address(on)?;
    let file = files.path().join(format!("{}.cfg", public.port()));
    fs::write(&file, configuration(public, to, machine::descriptor_limit()))?;
    let mut process =
        Process::start(program, &["-db", "-f", &file.to_string_lossy()]).context("HAProxy does not start")?;
    process.wait_for(|_| TcpStream::connect(public).ok())?;
    Ok((process, public))
}

fn configuration(on: SocketAddr, to: SocketAddr, descriptors: usize) -> String {
    // Each takes two descriptors, and every fourth a pipe of two more; it does not start where it cannot have them all.
    let connections_max = (descriptors.saturating_sub(200) / 3).min(6_000);
    format!(
        "global\n maxconn {connections_max}\n\
         defaults\n mode tcp\n option splice-auto\n timeout connect 10s\n timeout client 1h\n timeout server 1h\n\
         listen bench\n bind {on}\n server service {to}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_splices_and_asks_for_no_more_descriptors_than_there_are() {
        let (on, to) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let text = configuration(on, to, 20_000);
        assert!(text.contains("option splice-auto") && text.contains("maxconn 6000"), "{text}");
        assert!(configuration(on, to, 1_100).contains("maxconn 300"));
    }
}
