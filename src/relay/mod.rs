//! The server: names to connections, and bytes from one to the other.
//!
//! A frame's way is a straight line: socket -> [`session`] (read into the worker's buffer) -> the core crate (which decides what goes where)
//! -> [`peer`] (written through, or queued) -> socket.

mod accept;
mod auth;
mod config;
mod connection;
mod counters;
mod gather;
mod handshake;
mod line_ends;
mod peer;
mod refusal;
mod register;
mod registry;
mod services;
mod session;
mod spin;
mod timers;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, runtime::Handle, sync::Notify, task::JoinSet, time::timeout};
use tracing::{info, warn};

pub use config::{Config, Delivery};
use name_relay_core::{
    admission::{self, Admissions, Excess},
    budget::Budget,
    clock::Clock,
    close::CloseReason,
    log_limit::LogLimit,
    policy,
    session::InputLimits,
};
pub use policy::{Action, AddressRange, BadRange, Identity, Limits, Policy, PolicyError, Rule};
pub use services::PublicPorts;

use self::{
    counters::Counters,
    gather::Gather,
    line_ends::LineEnds,
    peer::Peer,
    registry::Registry,
    services::{Service, Services},
    spin::Spin,
    timers::Timers,
};
use crate::{
    net::{ListenError, Streams, StreamsConfig, bind, descriptors_for_connections},
    sparing::Sparing,
    task::task,
};

/// Beyond the time for draining, what the farewells themselves may take.
const STOP_MARGIN: Duration = Duration::from_secs(1);

/// Bytes of a client's input that may be kept in any case, until they can be routed: what is read of a slow sender at once.
const INPUT_BYTES: usize = 64 << 10;

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
    /// What is allowed now; see [`Shared::policy`].
    policy: RwLock<Arc<Policy>>,
    registry: Registry,
    services: Services,
    streams: Streams,
    clock: Clock,
    timers: Timers,
    counters: Counters,
    gather: Gather,
    /// What may wait in all queues.
    budget: Arc<Budget>,
    input_limits: InputLimits,
    line_ends: LineEnds,
    spin: Spin,
    stopping: AtomicBool,
    /// Connections with a task, registered or not.
    live: AtomicUsize,
    /// The same by address, and who is turned away.
    admissions: Admissions,
    /// Lines about those.
    turned_away: Arc<Sparing<Excess>>,
    /// Lines about connections that are not let in.
    refusal_log: LogLimit,
    /// The last of them has ended.
    none_live: Notify,
}

impl Relay {
    /// Listens on all addresses of the configuration. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub fn bind(config: Config, policy: Policy) -> Result<Self, ListenError> {
        let listeners: Vec<TcpListener> =
            config.listen.iter().map(|address| bind(*address, config.backlog)).collect::<Result<_, _>>()?;
        let clock = Clock::for_deadlines(&[
            config.idle_timeout,
            config.write_timeout,
            config.rate_grace,
            config.user_timeout.unwrap_or(Duration::MAX),
        ]);
        let spin = Spin::new(config.spin);
        let budget = Arc::new(Budget::new(config.queue_bytes, config.queue_extra_bytes));
        let input_limits = InputLimits {
            share: INPUT_BYTES,
            rate_bytes_min: config.grace_bytes_min(),
            grace: clock.ticks(config.rate_grace),
            wait_max: clock.ticks(config.idle_timeout),
        };
        let timers = Timers::new(&config, &clock);
        let threads = Handle::current().metrics().num_workers();
        let streams = Streams::new(StreamsConfig {
            threads,
            unanswered_max: config.user_timeout,
            spin: Spin::possible(config.spin),
        });
        let shared = Shared {
            config,
            policy: RwLock::new(Arc::new(policy)),
            registry: Registry::new(),
            services: Services::new(descriptors_for_connections(listeners.len(), threads)),
            streams,
            clock,
            timers,
            counters: Counters::default(),
            gather: Gather::default(),
            budget,
            input_limits,
            line_ends: LineEnds::default(),
            spin,
            stopping: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            admissions: Admissions::default(),
            turned_away: Sparing::new(),
            refusal_log: LogLimit::default(),
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

    /// What can be changed while the relay runs.
    pub fn control(&self) -> Control {
        Control(Arc::clone(&self.shared))
    }

    /// Serves until `stop` completes, then writes what is queued and returns within the drain timeout.
    pub async fn run(self, stop: impl Future<Output = &'static str>) {
        let shared = self.shared;
        let mut service = JoinSet::new();
        for listener in self.listeners {
            service.spawn(task(accept::run(Arc::clone(&shared), listener)));
        }
        service.spawn(task(timers::run(Arc::clone(&shared))));
        // These two are needed until the last byte is written.
        let gather = tokio::spawn({
            let shared = Arc::clone(&shared);
            task(async move { shared.gather.run(&*shared).await })
        });
        let spin = tokio::spawn({
            let shared = Arc::clone(&shared);
            task(async move { shared.spin.run().await })
        });

        let signal = stop.await;
        info!(signal, connections = shared.live.load(Ordering::Relaxed), "stopping");
        shared.stopping.store(true, Ordering::SeqCst);
        // The listeners are closed with the tasks; the clock and the deadlines are no longer needed.
        service.shutdown().await;
        shared.registry.for_each(|peer| peer.end(CloseReason::Shutdown));
        shared.services.for_each(|service| service.end(CloseReason::Shutdown));
        if timeout(shared.config.drain_timeout + STOP_MARGIN, shared.all_ended()).await.is_err() {
            warn!(connections = shared.live.load(Ordering::Relaxed), "stopped without waiting any longer");
        }
        gather.abort();
        spin.abort();
        shared.streams.close();
        shared.counters.log();
    }
}

/// A hold on a relay that runs.
#[derive(Debug, Clone)]
pub struct Control(Arc<Shared>);

impl Control {
    /// Puts another policy in place. It holds from now on for everything, and ends the sessions it no longer allows; limits count for
    /// connections that come.
    pub fn set_policy(&self, policy: Policy) {
        let policy = Arc::new(policy);
        *self.0.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&policy);
        self.0.registry.for_each(|peer| self.0.check(peer, &policy));
        self.0.services.for_each(|service| self.0.check_service(service, &policy));
    }
}

impl Shared {
    /// Ends a service that the policy does not allow. Its streams go on.
    fn check_service(&self, service: &Service, policy: &Policy) {
        let exposer = service.exposer();
        let may = policy.may(&exposer.identity, Action::Expose, service.name().as_bytes());
        if !may || !policy.admits(exposer.address.ip()) {
            service.end(CloseReason::Revoked);
        }
    }

    /// Ends a session that the policy does not allow.
    fn check(&self, peer: &Peer, policy: &Policy) {
        let may = policy.may(peer.identity(), Action::Register, peer.name().as_bytes());
        if !may || !policy.admits(peer.address().ip()) {
            peer.end(CloseReason::Revoked);
        }
    }

    /// What is allowed at this moment. Whoever goes by it for longer than a moment asks again.
    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Counts a connection from the address until what is returned is dropped; `None`, and a word to the log, if it is not to be taken.
    fn admit(self: &Arc<Self>, address: SocketAddr) -> Option<Live> {
        self.try_admit(address.ip())
            .inspect_err(|excess| {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                let reason = *excess;
                let others = move |others| warn!(others, %reason, "turned away");
                if self.turned_away.is_first(reason, others) {
                    warn!(%address, %reason, "turned away");
                }
            })
            .ok()
    }

    fn try_admit(self: &Arc<Self>, ip: IpAddr) -> Result<Live, Excess> {
        let policy = self.policy();
        if !policy.admits(ip) {
            return Err(Excess::Address);
        }
        // Counted first and looked at then, so that two accept loops cannot both take the last place. From here on dropping `live`
        // takes it back.
        let others = self.live.fetch_add(1, Ordering::Relaxed);
        let mut live = Live { shared: Arc::clone(self), origin: None };
        if admission::is_full(others, policy.limits.connections_max) {
            return Err(Excess::Relay);
        }
        live.origin = self.admissions.enter(ip, &policy.limits, Instant::now())?;
        Ok(live)
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

/// A connection that counts.
#[derive(Debug)]
struct Live {
    shared: Arc<Shared>,
    /// The address under which it counts; none if too many are known.
    origin: Option<IpAddr>,
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(origin) = self.origin {
            self.shared.admissions.leave(origin);
        }
        if self.shared.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.none_live.notify_waiters();
        }
    }
}
