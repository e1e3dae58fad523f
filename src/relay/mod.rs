//! The server: names to connections, and bytes from one to the other.
//!
//! A frame's way is a straight line: socket -> [`session`] (read into the worker's buffer) -> wire (header) -> [`route`] (which
//! recipient) -> [`batch`] (collected) -> [`peer`] and its [`outbox`] (written through, or queued) -> socket.

mod accept;
mod batch;
mod carry;
mod clock;
mod config;
mod connection;
mod counters;
mod ending;
mod gather;
mod handshake;
mod lost;
mod outbox;
mod peer;
mod queue;
mod registry;
mod route;
mod session;
mod spin;
mod sweep;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpListener, sync::Notify, task::JoinSet, time::timeout};
use tracing::{info, warn};

pub use config::{Config, Delivery};

use self::{
    clock::Clock, counters::Counters, ending::Ending, gather::Gather, registry::Registry, spin::Spin,
};
use crate::net::{ListenError, bind};

/// Beyond the time for draining, what the farewells themselves may take.
const STOP_MARGIN: Duration = Duration::from_secs(1);

/// A relay that listens but does not serve yet.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
}

/// What every part of a running relay uses.
#[derive(Debug)]
struct Shared {
    config: Config,
    registry: Registry,
    clock: Clock,
    counters: Counters,
    gather: Gather,
    spin: Spin,
    stopping: AtomicBool,
    /// Connections with a task, registered or not.
    live: AtomicUsize,
    /// The last of them has ended.
    none_live: Notify,
}

impl Relay {
    /// Listens on all addresses of the configuration. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub fn bind(config: Config) -> Result<Self, ListenError> {
        let listeners =
            config.listen.iter().map(|address| bind(*address, config.backlog)).collect::<Result<_, _>>()?;
        let clock = Clock::for_deadlines(&[config.idle_timeout, config.write_timeout, config.rate_grace]);
        let spin = Spin::new(config.spin);
        let shared = Shared {
            config,
            registry: Registry::new(),
            clock,
            counters: Counters::default(),
            gather: Gather::default(),
            spin,
            stopping: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            none_live: Notify::new(),
        };
        Ok(Self { shared: Arc::new(shared), listeners })
    }

    /// The addresses it listens on, with the ports the system chose.
    ///
    /// # Errors
    /// What the system reports.
    pub fn local_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// Serves until `stop` completes, then writes what is queued and returns within the drain timeout.
    pub async fn run(self, stop: impl Future<Output = &'static str>) {
        let shared = self.shared;
        let mut service = JoinSet::new();
        for listener in self.listeners {
            service.spawn(accept::run(Arc::clone(&shared), listener));
        }
        service.spawn(sweep::run(Arc::clone(&shared)));
        // These two are needed until the last byte is written.
        let gather = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move { shared.gather.run().await }
        });
        let spin = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move { shared.spin.run().await }
        });

        let signal = stop.await;
        info!(signal, connections = shared.live.load(Ordering::Relaxed), "stopping");
        shared.stopping.store(true, Ordering::SeqCst);
        // The listeners are closed with the tasks; the clock and the deadlines are no longer needed.
        service.shutdown().await;
        shared.registry.for_each(|peer| peer.end(Ending::Shutdown));
        if timeout(shared.config.drain_timeout + STOP_MARGIN, shared.all_ended()).await.is_err() {
            warn!(connections = shared.live.load(Ordering::Relaxed), "stopped without waiting any longer");
        }
        gather.abort();
        spin.abort();
        shared.counters.log();
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Counts a connection until the returned guard is dropped.
    fn count_live(self: &Arc<Self>) -> Live {
        self.live.fetch_add(1, Ordering::Relaxed);
        Live(Arc::clone(self))
    }

    async fn all_ended(&self) {
        loop {
            let ended = self.none_live.notified();
            if self.live.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }
}

struct Live(Arc<Shared>);

impl Drop for Live {
    fn drop(&mut self) {
        if self.0.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_live.notify_waiters();
        }
    }
}
