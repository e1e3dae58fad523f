//! The threads that look after streams.

use std::{
    collections::HashMap,
    fmt, io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{
        EventfdFlags, Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
        eventfd,
    },
};
use tracing::warn;

use super::{
    Stream, StreamsConfig,
    entry::{Entry, SIDES, Turn},
};
use crate::net::silence::look_every;

/// Events taken from the system at once.
const EVENTS_MAX: usize = 256;

/// What one turn carries of a short exchange at most: its answer may come soon.
const SHORT_BYTES: u64 = 4 << 10;

/// Room for so many streams is kept when there are none.
const STREAMS_KEPT: usize = 1024;

/// The key of the event that wakes a worker. Streams count from zero.
const WAKE: u64 = u64::MAX;

/// All workers.
pub(super) struct Workers {
    config: StreamsConfig,
    /// Started with the first stream; none if the system did not let them.
    started: OnceLock<Vec<Started>>,
    next: AtomicU64,
    /// One of them at most looks for events without sleeping.
    is_spinning: Arc<AtomicBool>,
}

/// A worker and its thread, until that is waited for.
struct Started {
    worker: Arc<Worker>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the rest of the program has of a worker.
struct Worker {
    epoll: OwnedFd,
    wake: OwnedFd,
    /// Streams that the worker has not seen yet.
    arriving: Mutex<Vec<(u64, Box<Entry>)>>,
    /// It looks at its streams now and then, and so at those that arrive.
    looks: AtomicBool,
    closing: AtomicBool,
}

/// What only the worker itself has.
struct Work {
    worker: Arc<Worker>,
    config: StreamsConfig,
    is_spinning: Arc<AtomicBool>,
    streams: HashMap<u64, Box<Entry>, foldhash::fast::RandomState>,
    /// Streams that are to have another turn.
    ready: Vec<u64>,
    /// Streams that await an answer.
    awaiting: Vec<u64>,
    /// When to look at them next.
    look_at: Option<Instant>,
    /// Until when to look for events without sleeping.
    spin_until: Option<Instant>,
}

impl Workers {
    pub(super) fn new(config: StreamsConfig) -> Self {
        let (started, next, is_spinning) = (OnceLock::new(), AtomicU64::new(0), Arc::default());
        Self { config, started, next, is_spinning }
    }

    /// Takes a stream over, or gives it back if there is no worker.
    pub(super) fn join(&self, stream: Stream) -> Option<Stream> {
        let started = self.started.get_or_init(|| self.start());
        if started.is_empty() {
            return Some(stream);
        }
        let Stream { first, second, received, doubt, ended } = stream;
        let key = self.next.fetch_add(1, Relaxed);
        let worker = &started[(key % started.len() as u64) as usize].worker;
        // Without these the connections are closed: neither the runtime nor the system knows them any more.
        let (Ok(first), Ok(second)) = (first.into_std(), second.into_std()) else { return None };
        let mut entry = Box::new(Entry::new(first, second, received, ended).unless(doubt));
        // The first turn is taken here: what a visitor says with its first breath goes on without waking anybody.
        let has_more = match entry.turn() {
            Turn::Over(joined) => {
                entry.end(joined);
                return None;
            }
            Turn::HasMore => true,
            Turn::Waits => false,
        };
        let awaits = entry.begins_to_await(self.config.unanswered_max);
        worker.take(key, entry, has_more, awaits);
        None
    }

    pub(super) fn close(&self) {
        // Where none was started none is from now on.
        let started = self.started.get_or_init(Vec::new);
        for Started { worker, .. } in started {
            worker.closing.store(true, SeqCst);
            worker.wake();
        }
        for Started { thread, .. } in started {
            let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            // The end of a stream may be what lets go of all of them last, and nobody waits for himself.
            if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id())
            {
                // A worker does not panic; if it did, its message was printed.
                let _ = thread.join();
            }
        }
    }

    fn start(&self) -> Vec<Started> {
        let mut started = Vec::new();
        for number in 0..self.config.threads.max(1) {
            match self.start_one(number) {
                Ok(one) => started.push(one),
                Err(error) => {
                    let threads = started.len();
                    warn!(%error, threads, "fewer threads than wanted look after streams");
                    break;
                }
            }
        }
        started
    }

    fn start_one(&self, number: usize) -> io::Result<Started> {
        let worker = Arc::new(Worker::new()?);
        let work = Work {
            worker: Arc::clone(&worker),
            config: self.config,
            is_spinning: Arc::clone(&self.is_spinning),
            streams: HashMap::default(),
            ready: Vec::new(),
            awaiting: Vec::new(),
            look_at: None,
            spin_until: None,
        };
        let name = format!("streams-{number}");
        let thread = std::thread::Builder::new().name(name).spawn(move || work.run())?;
        Ok(Started { worker, thread: Mutex::new(Some(thread)) })
    }
}

impl Worker {
    fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN | EventFlags::ET)?;
        let (arriving, looks, closing) = (Mutex::default(), AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { epoll, wake, arriving, looks, closing })
    }

    /// Has the worker look after a stream.
    fn take(&self, key: u64, mut entry: Box<Entry>, has_more: bool, awaits: bool) {
        let mut arriving = self.arriving();
        for side in SIDES {
            entry.wants_room(side);
            let data = EventData::new_u64(key << 1 | side as u64);
            if let Err(error) = epoll::add(&self.epoll, entry.fd(side), data, entry.interest(side)) {
                drop(arriving);
                let joined = entry.break_off(io::Error::from(error).into());
                return entry.end(joined);
            }
        }
        // Its events find it here: the lock is held since before the first of them.
        arriving.push((key, entry));
        drop(arriving);
        if self.closing.load(SeqCst) {
            // The worker may be gone already.
            return self.reset_arriving();
        }
        if has_more || (awaits && !self.looks.load(SeqCst)) {
            self.wake();
        }
    }

    /// Ends what the worker has not seen.
    fn reset_arriving(&self) {
        let arriving = std::mem::take(&mut *self.arriving());
        for (_, entry) in arriving {
            let joined = entry.break_off(io::Error::from(io::ErrorKind::ConnectionAborted).into());
            entry.end(joined);
        }
    }

    fn wake(&self) {
        // Fails only when the counter is at its bound, and then the worker is awake.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn arriving(&self) -> MutexGuard<'_, Vec<(u64, Box<Entry>)>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    fn run(mut self) {
        let worker = Arc::clone(&self.worker);
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        while !worker.closing.load(SeqCst) {
            events.clear();
            let timeout = self.timeout();
            match epoll::wait(&worker.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    warn!(%error, "the system gives no more events; all streams end");
                    worker.closing.store(true, SeqCst);
                    break;
                }
            }
            let is_idle = events.is_empty();
            for event in &events {
                // Fields of a packed struct are copied before use.
                let (data, flags) = (event.data, event.flags);
                match data.u64() {
                    WAKE => self.welcome(),
                    number => self.event(number >> 1, (number & 1) as usize, flags),
                }
            }
            for key in std::mem::take(&mut self.ready) {
                if let Some(entry) = self.streams.get_mut(&key) {
                    entry.is_ready = false;
                }
                self.turn(key);
            }
            self.look();
            if is_idle && self.spin_until.is_some() {
                // Other programs first: a client that was just woken may be waiting for this very processor.
                std::thread::yield_now();
            }
        }
        worker.reset_arriving();
        for (_, entry) in self.streams.drain() {
            let joined = entry.break_off(io::Error::from(io::ErrorKind::ConnectionAborted).into());
            entry.end(joined);
        }
    }

    /// How long to wait for events; `None` is for ever.
    fn timeout(&mut self) -> Option<Timespec> {
        let now = Instant::now();
        if self.spin_until.is_some_and(|until| until <= now) {
            self.spin_until = None;
            self.is_spinning.store(false, Relaxed);
        }
        let wait = if self.spin_until.is_some() || !self.ready.is_empty() {
            Duration::ZERO
        } else {
            self.look_at?.saturating_duration_since(now)
        };
        Some(Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() })
    }

    fn event(&mut self, key: u64, side: usize, flags: EventFlags) {
        if !self.streams.contains_key(&key) {
            self.welcome();
        }
        // Events of a stream that has just ended are nobody's.
        let Some(entry) = self.streams.get_mut(&key) else { return };
        entry.note(side, flags);
        // Whoever is to have a turn anyway has it with the others, not one more for each event.
        if !entry.is_ready {
            self.turn(key);
        }
    }

    /// Takes over the streams that have arrived.
    fn welcome(&mut self) {
        let arriving = std::mem::take(&mut *self.worker.arriving());
        for (key, mut entry) in arriving {
            if entry.is_awaiting() {
                self.awaiting.push(key);
            }
            // It may have had more to do than one turn allows.
            entry.is_ready = true;
            self.ready.push(key);
            self.streams.insert(key, entry);
        }
        self.begin_to_look();
    }

    fn turn(&mut self, key: u64) {
        let Some(entry) = self.streams.get_mut(&key) else { return };
        let before = entry.carried();
        match entry.turn() {
            Turn::Over(joined) => return self.end(key, joined),
            Turn::HasMore if !entry.is_ready => {
                entry.is_ready = true;
                self.ready.push(key);
            }
            Turn::HasMore | Turn::Waits => {}
        }
        for side in SIDES {
            if entry.wants_room(side) {
                let data = EventData::new_u64(key << 1 | side as u64);
                if let Err(error) =
                    epoll::modify(&self.worker.epoll, entry.fd(side), data, entry.interest(side))
                {
                    let joined = entry.break_off(io::Error::from(error).into());
                    return self.end(key, joined);
                }
            }
        }
        let carried = entry.carried() - before;
        if entry.begins_to_await(self.config.unanswered_max) {
            self.awaiting.push(key);
            self.begin_to_look();
        }
        self.spin_after(carried);
    }

    fn end(&mut self, key: u64, joined: crate::net::Joined) {
        if let Some(entry) = self.streams.remove(&key) {
            entry.end(joined);
        }
        if self.streams.is_empty() && self.streams.capacity() > STREAMS_KEPT {
            self.streams.shrink_to_fit();
        }
    }

    /// After a short exchange: its answer may come before going to sleep and waking up are through.
    fn spin_after(&mut self, carried: u64) {
        if carried == 0 || carried > SHORT_BYTES || self.config.spin.is_zero() {
            return;
        }
        if self.spin_until.is_some() || !self.is_spinning.swap(true, Relaxed) {
            self.spin_until = Some(Instant::now() + self.config.spin);
        }
    }

    fn begin_to_look(&mut self) {
        if self.look_at.is_none() && !self.awaiting.is_empty() {
            let limit = self.config.unanswered_max.unwrap_or(Duration::MAX);
            self.look_at = Some(Instant::now() + look_every(limit));
            self.worker.looks.store(true, SeqCst);
        }
    }

    /// Looks, when it is time, at the streams that await an answer.
    fn look(&mut self) {
        let Some(at) = self.look_at else { return };
        if Instant::now() < at {
            return;
        }
        self.look_at = None;
        // What arrives from now on wakes the worker.
        self.worker.looks.store(false, SeqCst);
        self.welcome();
        for key in std::mem::take(&mut self.awaiting) {
            let Some(entry) = self.streams.get_mut(&key) else { continue };
            match entry.awaits_answer(self.config.unanswered_max) {
                Ok(true) => self.awaiting.push(key),
                Ok(false) => {}
                Err(broken) => {
                    let joined = entry.break_off(broken);
                    self.end(key, joined);
                }
            }
        }
        self.begin_to_look();
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("config", &self.config).finish_non_exhaustive()
    }
}
