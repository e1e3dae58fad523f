//! Connections parked at the relay, so that a visitor need not wait for one to be made. As many as visitors come at once: the number
//! grows when they are taken in a rush and when the relay says that some visitors had to wait, and shrinks when some were never needed.

use std::{
    mem::{Discriminant, discriminant},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tracing::{debug, warn};

use super::{
    Service,
    access::{Access, Answered},
    service::TurnedAway,
};
use crate::{
    client::LinkError,
    net::{Backoff, DialError, Streams, reset},
    sparing::Sparing,
    task::task,
    wire::{Hello, StreamNotice},
};

/// Connections parked at least: one for a visitor, and one for whoever comes while it is being replaced.
const PARKED_MIN: usize = 2;

/// And at the start: a browser opens six connections at once.
const PARKED_FIRST: usize = 6;

/// And in a rush as long as nobody has to wait: half of them are replaced at once, and more would keep whoever comes then from the
/// processor for a millisecond.
const RUSH_MOST: usize = 16;

/// And at most, unless the service says otherwise. More visitors than this at the same moment wait for a round trip.
pub const READY_DEFAULT: usize = 64;

/// How long a connection must have been of no use before there are fewer.
pub(super) const SHRINK_EVERY: Duration = Duration::from_secs(10);

/// How long a connection that was taken may be missing while half of them are still there: making the next at once would take the
/// processor from the visitor that has just come, and a few are made with less ado than one at a time.
const REPLACE_WITHIN: Duration = Duration::from_millis(5);

/// The first and the longest wait after a connection could not be parked.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// The parked connections of one service during one control session.
#[derive(Debug)]
pub(super) struct Pool {
    parking: Arc<Parking>,
    /// What becomes of them.
    reports: mpsc::UnboundedReceiver<Report>,
    report: mpsc::UnboundedSender<Report>,
    /// Ends with the pool; a connection that has become a stream is no longer in it.
    tasks: JoinSet<()>,
    /// Connections there should be, and the most there may be.
    wanted: usize,
    most: usize,
    /// Connections there are or are being made.
    made: usize,
    /// Of those, the ones that wait at the relay.
    parked: usize,
    /// The fewest that waited since the last look.
    parked_least: usize,
    /// When those that were taken are to be replaced.
    replace_at: Option<Instant>,
    backoff: Backoff,
}

/// What is needed to park a connection.
#[derive(Debug)]
struct Parking {
    access: Access,
    service: Arc<Service>,
    key: String,
    streams: Arc<Streams>,
    /// Which failures were written to the log lately.
    said: Arc<Sparing<Discriminant<LinkError>>>,
    turned_away: Arc<TurnedAway>,
}

/// What a parked connection hears when a visitor has come.
#[derive(Debug, Deserialize)]
struct Visited {
    stream: StreamNotice,
}

#[derive(Debug)]
enum Report {
    Parked,
    /// It has become a stream.
    Taken,
    /// The relay has ended it without a word.
    Released,
    /// It could not be parked, or was lost.
    Failed {
        was_parked: bool,
        error: LinkError,
    },
}

impl Pool {
    pub(super) fn new(access: Access, service: Arc<Service>, key: String, streams: Arc<Streams>) -> Self {
        let (report, reports) = mpsc::unbounded_channel();
        let most = service.ready_max.max(1);
        let mut pool = Self {
            parking: Arc::new(Parking {
                access,
                service,
                key,
                streams,
                said: Sparing::new(),
                turned_away: Sparing::new(),
            }),
            reports,
            report,
            tasks: JoinSet::new(),
            wanted: PARKED_FIRST.min(most),
            most,
            made: 0,
            parked: 0,
            parked_least: 0,
            replace_at: None,
            backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
        };
        pool.fill(Duration::ZERO);
        pool
    }

    /// So many visitors had to wait.
    pub(super) fn grow(&mut self, waiting: u32) {
        self.wanted = (self.wanted + waiting as usize).min(self.most);
        self.fill(Duration::ZERO);
    }

    /// How many parked connections the relay is to end, of those that nobody needed lately.
    pub(super) fn shrink(&mut self) -> u32 {
        let unused = self.parked_least.saturating_sub(PARKED_MIN);
        self.parked_least = self.parked;
        // Half of them at a time: the next crowd may be on its way.
        let surplus = unused.div_ceil(2);
        // A relay that ends fewer than it was asked to is asked again, but the pool is not to shrink below the least.
        self.wanted = self.wanted.saturating_sub(surplus).max(PARKED_MIN.min(self.most));
        u32::try_from(surplus).unwrap_or(u32::MAX)
    }

    /// Replaces connections as they are taken, for as long as it is polled. May be cancelled without losing anything.
    pub(super) async fn tend(&mut self) {
        loop {
            let replace_at = self.replace_at;
            let report = tokio::select! {
                biased;
                report = self.reports.recv() => report,
                () = sleep_until(replace_at.unwrap_or_else(Instant::now)), if replace_at.is_some() => {
                    self.fill(Duration::ZERO);
                    continue;
                }
            };
            // The pool holds a sender itself, so there is always a next.
            let Some(report) = report else { return };
            while self.tasks.try_join_next().is_some() {}
            match report {
                Report::Parked => {
                    self.parked += 1;
                    continue;
                }
                Report::Taken => {
                    self.lose(true);
                    self.backoff.reset();
                    self.parked_least = self.parked_least.min(self.parked);
                    if self.parked <= self.wanted / 2 {
                        if self.replace_at.is_some() {
                            // Half of them in no time: there is a rush, and more at a time are to be replaced.
                            self.wanted = (self.wanted * 2).min(RUSH_MOST).max(self.wanted).min(self.most);
                        }
                        self.fill(Duration::ZERO);
                    } else {
                        self.replace_at.get_or_insert_with(|| Instant::now() + REPLACE_WITHIN);
                    }
                }
                Report::Released => {
                    self.lose(true);
                    // What the relay was not asked to end it has no room for.
                    if self.made < self.wanted {
                        self.wanted = (self.wanted - 1).max(PARKED_MIN.min(self.most));
                        let wait = self.backoff.wait();
                        self.fill(wait);
                    }
                }
                Report::Failed { was_parked, error } => {
                    self.lose(was_parked);
                    self.parking.tell_of(&error);
                    let wait = self.backoff.wait();
                    self.fill(wait);
                }
            }
        }
    }

    fn lose(&mut self, was_parked: bool) {
        self.made -= 1;
        self.parked -= usize::from(was_parked);
    }

    fn fill(&mut self, wait: Duration) {
        self.replace_at = None;
        while self.made < self.wanted {
            self.made += 1;
            let (parking, report) = (Arc::clone(&self.parking), self.report.clone());
            self.tasks.spawn(task(async move {
                // Even a sleep of nothing lasts until the timer's next tick, a millisecond away.
                if !wait.is_zero() {
                    sleep(wait).await;
                }
                parking.park(&report).await;
            }));
        }
    }
}

impl Parking {
    /// Tells the log that a connection could not be made or was lost. What the loss of the relay does to it is not worth a word: the control
    /// session has one for that.
    fn tell_of(&self, error: &LinkError) {
        let name = &self.service.name;
        if !matches!(error, LinkError::Dial(_) | LinkError::Refused { .. } | LinkError::NoAnswer)
            || matches!(error, LinkError::Dial(DialError::Refused(_)))
        {
            return debug!(service = %name, %error, "cannot keep a connection ready for now");
        }
        let others = {
            let (name, error) = (name.clone(), error.to_string());
            move |others| warn!(service = %name, others, error, "cannot keep connections ready for visitors")
        };
        if self.said.is_first(discriminant(error), others) {
            warn!(service = %name, %error, "cannot keep a connection ready for visitors; trying again");
        }
    }

    /// Makes one connection and waits with it for a visitor.
    async fn park(&self, report: &mpsc::UnboundedSender<Report>) {
        // The pool may be gone, and then it does not want to know.
        let tell = |what| drop(report.send(what));
        let stream = match self.access.connect().await {
            Ok(stream) => stream,
            Err(error) => return tell(Report::Failed { was_parked: false, error }),
        };
        // It may become a stream, and a program that is killed then is not one that has finished.
        reset(&stream);
        // Counted before the relay has it: what it says next may be that a visitor has come.
        tell(Report::Parked);
        let hello = Hello::Park { name: self.service.name.clone(), key: self.key.clone() };
        match self.access.greet::<Visited>(stream, &hello).await {
            Ok(Answered { stream, answer: Visited { stream: notice }, decoder }) => {
                tell(Report::Taken);
                let (service, streams) = (Arc::clone(&self.service), Arc::clone(&self.streams));
                let turned_away = Arc::clone(&self.turned_away);
                let received = decoder.into_rest();
                // Outlives the pool: a stream goes on when the control session is lost.
                tokio::spawn(task(async move {
                    service.serve(&streams, stream, notice, received, &turned_away).await;
                }));
            }
            Err(LinkError::Ended) => tell(Report::Released),
            Err(error) => tell(Report::Failed { was_parked: true, error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client::Credentials, net::Target, tunnel::streams, wire::TextName};

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_does_not_end_what_it_is_asked_to_does_not_empty_the_pool() {
        let mut pool = pool(64);
        pool.grow(100);
        assert_eq!(pool.wanted, 64);
        (pool.parked, pool.parked_least) = (64, 64);
        assert_eq!((pool.shrink(), pool.wanted), (31, 33));
        assert_eq!((pool.shrink(), pool.wanted), (31, PARKED_MIN));
        assert_eq!((pool.shrink(), pool.wanted), (31, PARKED_MIN));
    }

    fn pool(ready_max: usize) -> Pool {
        let access = Access {
            relay: Target::new("127.0.0.1", 1),
            credentials: Credentials::default(),
            connect_timeout: Duration::from_secs(1),
        };
        let (name, address) = (TextName::new("web").unwrap(), Target::new("127.0.0.1", 1));
        let service = Service { name, address, port: None, proxy_protocol: false, ready_max };
        Pool::new(access, Arc::new(service), String::new(), Arc::new(streams()))
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_are_kept_ready_as_may_be_and_no_more() {
        assert_eq!(pool(0).wanted, 1);
        assert_eq!([1, 5, 6, 7].map(|most| pool(most).wanted), [1, 5, 6, 6]);
        for (waiting, wanted) in [(0, 6), (57, 63), (58, 64), (59, 64), (u32::MAX, 64)] {
            let mut pool = pool(64);
            pool.grow(waiting);
            assert_eq!((pool.wanted, pool.made), (wanted, wanted), "{waiting} wait");
        }
    }
}
