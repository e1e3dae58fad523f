//! The service behind the tunnels. It is as light as can be: the generator of the load shares the processors with what it measures.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

/// What every visitor sends first, and what is sent back.
pub(super) const SMALL_BYTES: usize = 64;

/// What is given to the system at once.
pub(super) const BULK_BYTES: usize = 256 << 10;

/// How long a visitor waits for its connection, and for each of its bytes.
const DEADLINE: Duration = Duration::from_secs(20);

/// Visitors served at the same time; those that are kept do not count.
const THREADS: usize = 32;

/// What a visitor wants: the first byte it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Wish {
    /// Every 64 bytes back.
    Echo = b'e',
    /// The first 64 bytes back, and nothing more while it stays.
    Keep = b'k',
    /// As many bytes as it takes.
    Bulk = b'b',
}

/// A service on a free port, until it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    kept: Arc<Mutex<Vec<TcpStream>>>,
}

impl Service {
    pub(crate) fn start(on: Ipv4Addr) -> Result<Self> {
        let listener = TcpListener::bind((on, 0))?;
        let address = listener.local_addr()?;
        let kept: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        for _ in 0..THREADS {
            let (listener, kept) = (listener.try_clone()?, Arc::clone(&kept));
            thread::spawn(move || {
                while let Ok((visitor, _)) = listener.accept() {
                    // A visitor that leaves is no failure.
                    if let Ok(Some(visitor)) = serve(visitor)
                        && let Ok(mut kept) = kept.lock()
                    {
                        kept.push(visitor);
                    }
                }
            });
        }
        Ok(Self { address, listener, kept })
    }

    /// Ends the connections of the visitors that were kept.
    pub(crate) fn let_go(&self) {
        if let Ok(mut kept) = self.kept.lock() {
            kept.clear();
        }
    }
}

impl Drop for Service {
    /// Ends the threads that wait for visitors.
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }
}

/// Gives the connection back if it is to be kept.
fn serve(mut visitor: TcpStream) -> Result<Option<TcpStream>> {
    visitor.set_nodelay(true)?;
    let mut small = [0; SMALL_BYTES];
    visitor.read_exact(&mut small)?;
    if small[0] == Wish::Bulk as u8 {
        let block = vec![b'x'; BULK_BYTES];
        loop {
            visitor.write_all(&block)?;
        }
    }
    visitor.write_all(&small)?;
    if small[0] == Wish::Keep as u8 {
        return Ok(Some(visitor));
    }
    loop {
        visitor.read_exact(&mut small)?;
        visitor.write_all(&small)?;
    }
}

/// Connects and says what is wanted.
///
/// # Errors
/// Nobody listens.
pub(super) fn visit(address: SocketAddr, wish: Wish) -> Result<TcpStream> {
    wish_on(TcpStream::connect_timeout(&address, DEADLINE).context("cannot connect to the tunnel")?, wish)
}

/// Says what is wanted.
///
/// # Errors
/// The connection is gone.
pub(super) fn wish_on(mut stream: TcpStream, wish: Wish) -> Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(&[wish as u8; SMALL_BYTES])?;
    Ok(stream)
}

/// Waits for 64 bytes.
///
/// # Errors
/// They do not come.
pub(super) fn answer(stream: &mut TcpStream) -> Result<()> {
    stream.read_exact(&mut [0; SMALL_BYTES]).context("the tunnel gave no answer")
}
