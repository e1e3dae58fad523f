//! Many clients at once.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};

use anyhow::Result;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use crate::protocol::Protocol;

/// Threads of the one process that connects.
const CONNECTORS: usize = 4;

/// A prefix that no earlier measure of this process used: a server may still be reading what a finished measure sent.
pub(crate) fn fresh_prefix() -> String {
    static USED: AtomicU32 = AtomicU32::new(0);
    let number = USED.fetch_add(1, Relaxed);
    let letter = |n: u32| char::from(b'a' + (n % 26) as u8);
    [letter(number / 676), letter(number / 26), letter(number)].iter().collect()
}

/// Where a crowd connects to, and from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dial {
    pub(crate) to: SocketAddr,
    /// From addresses of its own. Of the ports of one address the system has to search for a free one, the longer the more are taken:
    /// that would be measured where others connect from the same.
    pub(crate) from_own: bool,
}

/// Addresses of a crowd's own.
const OWN_ADDRESSES: usize = 200;

impl Dial {
    /// Connects the client number `n`.
    ///
    /// # Errors
    /// Nobody listens, or there are no more descriptors or ports.
    pub(crate) fn connect(&self, n: usize) -> Result<TcpStream> {
        if !self.from_own {
            return Ok(TcpStream::connect(self.to)?);
        }
        let from = Ipv4Addr::new(127, 1, 0, 1 + (n % OWN_ADDRESSES) as u8);
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddr::from((from, 0)))?;
        connect(&socket, &self.to)?;
        Ok(socket.into())
    }
}

/// Registers `count` clients as fast as this process can, and returns when every one has the proof that it can be reached.
///
/// # Errors
/// A client cannot connect or gets no proof.
pub(crate) fn register(protocol: Protocol, dial: Dial, prefix: &str, count: usize) -> Result<Vec<TcpStream>> {
    in_parallel(count, |numbers| {
        let mut clients = numbers
            .map(|n| protocol.open(dial.connect(n)?, &format!("{prefix}{n:05}")))
            .collect::<Result<Vec<_>>>()?;
        clients.iter_mut().try_for_each(|client| protocol.confirm(client))?;
        Ok(clients)
    })
}

/// Makes `count` connections on a few threads, each of which is told the numbers of its own.
///
/// # Errors
/// Those of `make`.
pub(crate) fn in_parallel(
    count: usize,
    make: impl Fn(&mut dyn Iterator<Item = usize>) -> Result<Vec<TcpStream>> + Sync,
) -> Result<Vec<TcpStream>> {
    let results: Vec<Result<Vec<TcpStream>>> = thread::scope(|scope| {
        let connectors: Vec<_> = (0..CONNECTORS)
            .map(|connector| {
                let make = &make;
                scope.spawn(move || make(&mut (connector..count).step_by(CONNECTORS)))
            })
            .collect();
        connectors
            .into_iter()
            .map(|connector| connector.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a connector failed"))))
            .collect()
    });
    results.into_iter().try_fold(Vec::with_capacity(count), |mut all, some| {
        all.extend(some?);
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_crowd_may_come_from_addresses_of_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let from = |from_own, n| Dial { to, from_own }.connect(n).unwrap().local_addr().unwrap().ip();
        assert_eq!(from(true, 0), Ipv4Addr::new(127, 1, 0, 1));
        assert_eq!(from(true, 203), Ipv4Addr::new(127, 1, 0, 4));
        assert_eq!(from(false, 3), Ipv4Addr::LOCALHOST);
    }
}
