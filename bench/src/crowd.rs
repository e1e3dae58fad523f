//! Many clients at once.

use std::{
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};

use anyhow::Result;

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

/// Registers `count` clients as fast as this process can, and returns when every one has the proof that it can be reached.
///
/// # Errors
/// A client cannot connect or gets no proof.
pub(crate) fn register(
    protocol: Protocol,
    address: SocketAddr,
    prefix: &str,
    count: usize,
) -> Result<Vec<TcpStream>> {
    in_parallel(count, |numbers| {
        let mut clients = numbers
            .map(|n| protocol.open(address, &format!("{prefix}{n:05}")))
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
