//! Joined connections by the thousand, most of which rest.
//!
//! On Linux a few threads look after all of them, each with an `epoll` of its own: a stream that rests is two descriptors and a
//! hundred bytes, without a task, a timer or a registration with the runtime, and one that is awake has the shortest way there is
//! from the system's event to the bytes. Elsewhere, and where the system has no descriptors left for such a thread, a stream is a task.

#[cfg(target_os = "linux")]
mod entry;
#[cfg(target_os = "linux")]
mod worker;

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::TcpStream, task::JoinSet};

use super::join::{Join, Joined, reset};
use crate::task::task;

/// Is told how a stream has ended.
pub(super) type Ended = Box<dyn FnOnce(Joined) + Send>;

/// Says why a stream is not to be waited for any longer, if it is not. Asked about once a second until the second connection of the stream has
/// sent something.
pub(in crate::net) type Doubt = Box<dyn Fn() -> Option<io::Error> + Send>;

/// What all streams have in common.
#[derive(Debug, Clone, Copy)]
pub struct StreamsConfig {
    /// Threads that look after streams; they start with the first stream.
    pub threads: usize,
    /// How long a machine may leave unanswered what is sent to it.
    pub unanswered_max: Option<Duration>,
    /// How long a thread looks for more events before it sleeps, after a short exchange.
    pub spin: Duration,
}

/// What a stream is made of.
struct Stream {
    first: TcpStream,
    second: TcpStream,
    received: Vec<u8>,
    doubt: Option<Doubt>,
    ended: Ended,
}

/// All streams of a program. Dropped, it resets those that still run.
#[derive(Debug)]
pub struct Streams {
    config: StreamsConfig,
    #[cfg(target_os = "linux")]
    workers: worker::Workers,
    /// None when it is closed.
    tasks: Mutex<Option<JoinSet<()>>>,
}

impl Streams {
    /// No stream yet, and no thread.
    pub fn new(config: StreamsConfig) -> Self {
        Self {
            config,
            #[cfg(target_os = "linux")]
            workers: worker::Workers::new(config),
            tasks: Mutex::new(Some(JoinSet::new())),
        }
    }

    /// Joins two connections until both directions have ended or either has broken. `received` came from the first already and goes
    /// before all else. To be called within the runtime they belong to.
    ///
    /// Until both directions have ended in order, both connections end with a reset, also when this program is killed.
    pub fn join(&self, first: TcpStream, second: TcpStream, received: Vec<u8>, ended: Ended) {
        self.join_with(None, first, second, received, ended);
    }

    /// The same for a stream that is reset when `doubt` says so before the second connection has sent anything.
    pub fn join_unless(
        &self,
        doubt: Doubt,
        first: TcpStream,
        second: TcpStream,
        received: Vec<u8>,
        ended: Ended,
    ) {
        self.join_with(Some(doubt), first, second, received, ended);
    }

    fn join_with(
        &self,
        doubt: Option<Doubt>,
        first: TcpStream,
        second: TcpStream,
        received: Vec<u8>,
        ended: Ended,
    ) {
        reset(&first);
        reset(&second);
        let stream = Stream { first, second, received, doubt, ended };
        #[cfg(target_os = "linux")]
        let Some(stream) = self.workers.join(stream) else { return };
        let Stream { first, second, received, doubt, ended } = stream;
        let join =
            Join::new(first, second, received).unanswered_max(self.config.unanswered_max).unless(doubt);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tasks) = &mut *tasks {
            // Those that have ended need not be kept.
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task(async move { ended(join.await) }));
            return;
        }
        drop(tasks);
        ended(join.abort());
    }

    /// Resets all streams, and those that come later.
    pub fn close(&self) {
        #[cfg(target_os = "linux")]
        self.workers.close();
        *self.tasks.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.close();
    }
}
