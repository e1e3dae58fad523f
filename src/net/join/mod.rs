//! Two connections as one: what either end sends the other receives, to the last byte, and so does its end.
//!
//! A half-close is passed on as a half-close and a reset as a reset. What one side does not take is not read from the other beyond
//! one buffer, so the systems at both ends do the flow control. A stream starts by copying, which is the shortest way for a small
//! exchange; one that a thread of `streams` looks after, on Linux, turns to `splice(2)` while it carries bulk, and then no byte enters
//! this program. Elsewhere, and where no such thread could be started, it is a task, [`Join`], which copies everything.

#[cfg(not(target_os = "linux"))]
mod copied;
pub(super) mod end;
#[cfg(target_os = "linux")]
pub(super) mod pipe;
mod watch;
pub(super) mod way;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::net::TcpStream;

use self::{end::End, watch::Watch, way::Way};
use super::streams::Doubt;

#[cfg(not(target_os = "linux"))]
use copied as pipe;

/// Two connections that are being joined. The future ends when both directions have ended or either connection has broken. Dropped before
/// that, it resets both.
#[must_use = "a future carries nothing unless it is polled"]
pub(super) struct Join {
    first: TcpStream,
    second: TcpStream,
    there: Way,
    back: Way,
    /// How long either machine may leave unanswered what is sent to it.
    unanswered_max: Option<Duration>,
    /// Exists until the second connection has sent something.
    doubt: Option<Doubt>,
    /// Exists while one direction has ended, or an answer is awaited.
    watch: Option<Box<Watch>>,
}

/// What a join has carried, in bytes, and how it ended.
#[derive(Debug)]
pub struct Joined {
    /// From the first connection to the second.
    pub there: u64,
    /// From the second to the first.
    pub back: u64,
    /// What broke either connection, if anything; both were reset then.
    pub broken: Option<Broken>,
}

/// One of the two connections of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The first.
    First,
    /// The second.
    Second,
}

/// What broke a stream.
#[derive(Debug)]
pub struct Broken {
    /// Which connection it was, if it was one of them.
    pub at: Option<Edge>,
    /// What the system says, or why the stream was given up.
    pub error: io::Error,
}

impl Broken {
    /// As a person reads it, with the names of both ends.
    pub fn describe(&self, first: &str, second: &str) -> String {
        match self.at {
            Some(Edge::First) => format!("{first}: {}", self.error),
            Some(Edge::Second) => format!("{second}: {}", self.error),
            None => self.error.to_string(),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self { at: None, error }
    }
}

impl Join {
    /// Joins two connections. `received` came from the first already and goes before all else.
    pub(super) fn new(first: TcpStream, second: TcpStream, received: Vec<u8>) -> Self {
        let (there, back) = (Way::new(received), Way::new(Vec::new()));
        for stream in [&first, &second] {
            // Fails for no connection; without it a byte of urgent data would be missing.
            let _ = SockRef::from(stream).set_out_of_band_inline(true);
        }
        Self { first, second, there, back, unanswered_max: None, doubt: None, watch: None }
    }

    /// Breaks off when either machine leaves unanswered for so long what is sent to it; one that answers may rest for ever, and read
    /// nothing. Only Linux tells; elsewhere the system's own limit on retransmissions stands.
    pub(super) fn unanswered_max(mut self, limit: Option<Duration>) -> Self {
        self.unanswered_max = limit;
        self
    }

    /// Breaks off when `doubt` says so before the second connection has sent anything.
    pub(super) fn unless(mut self, doubt: Option<Doubt>) -> Self {
        self.doubt = doubt;
        self
    }

    /// Resets both connections.
    pub(super) fn abort(self) -> Joined {
        self.break_off(io::Error::from(io::ErrorKind::ConnectionAborted).into())
    }

    /// What has broken either connection without an event, if anything has.
    fn broken_silently(&mut self, cx: &mut Context<'_>) -> Option<Broken> {
        let has_written = self.there.take_has_written() | self.back.take_has_written();
        let silent = match (self.there.is_done(), self.back.is_done()) {
            (true, false) => Some((Edge::First, &self.first)),
            (false, true) => Some((Edge::Second, &self.second)),
            _ => None,
        };
        if self.back.has_begun() {
            self.doubt = None;
        }
        let awaits = (has_written && self.unanswered_max.is_some()) || self.doubt.is_some();
        if self.watch.is_none() && silent.is_none() && !awaits {
            return None;
        }
        let watch = self.watch.get_or_insert_with(|| Box::new(Watch::new(self.unanswered_max)));
        while watch.is_due(cx) {
            // It is not read any more, so its end would not be seen.
            if let Some((edge, stream)) = silent
                && let Ok(Some(error)) | Err(error) = stream.take_error()
            {
                return Some(Broken { at: Some(edge), error });
            }
            if let Some(error) = self.doubt.as_ref().and_then(|doubt| doubt()) {
                return Some(Broken { at: Some(Edge::Second), error });
            }
            match watch.awaits_answer(&self.first, &self.second, self.unanswered_max) {
                Err(broken) => return Some(broken),
                Ok(false) if silent.is_none() && self.doubt.is_none() => {
                    self.watch = None;
                    return None;
                }
                Ok(_) => {}
            }
        }
        None
    }

    fn break_off(&self, broken: Broken) -> Joined {
        reset(&self.first);
        reset(&self.second);
        self.joined(Some(broken))
    }

    fn joined(&self, broken: Option<Broken>) -> Joined {
        Joined { there: self.there.carried(), back: self.back.carried(), broken }
    }
}

impl Future for Join {
    type Output = Joined;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Joined> {
        let this = self.get_mut();
        let Self { first, second, there, back, .. } = this;
        match carry(cx, [first, second], [there, back]) {
            Poll::Ready(Err(broken)) => Poll::Ready(this.break_off(broken)),
            Poll::Ready(Ok(())) => {
                settle(&this.first);
                settle(&this.second);
                Poll::Ready(this.joined(None))
            }
            Poll::Pending => match this.broken_silently(cx) {
                Some(broken) => Poll::Ready(this.break_off(broken)),
                None => {
                    if this.there.take_has_more() | this.back.take_has_more() {
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
            },
        }
    }
}

/// Carries what can be carried now, from the first connection to the second and back. Ready when both ends were passed on, or with what
/// broke either connection.
pub(super) fn carry<E: End>(
    cx: &mut Context<'_>,
    [first, second]: [&mut E; 2],
    [there, back]: [&mut Way; 2],
) -> Poll<Result<(), Broken>> {
    let there_is_done = match there.poll(cx, first, second) {
        Poll::Ready(Err(error)) => {
            let at = Some(if there.failed_to_write() { Edge::Second } else { Edge::First });
            // The failure was told once, and from now on the end of what the second has sent looks like a regular one.
            let _ = back.carry_rest(cx, second, first);
            return Poll::Ready(Err(Broken { at, error }));
        }
        outcome => outcome.is_ready(),
    };
    match back.poll(cx, second, first) {
        Poll::Ready(Err(error)) => {
            let at = Some(if back.failed_to_write() { Edge::First } else { Edge::Second });
            let _ = there.carry_rest(cx, first, second);
            Poll::Ready(Err(Broken { at, error }))
        }
        Poll::Ready(Ok(())) if there_is_done => Poll::Ready(Ok(())),
        _ => Poll::Pending,
    }
}

impl Drop for Join {
    fn drop(&mut self) {
        if !(self.there.is_done() && self.back.is_done()) {
            reset(&self.first);
            reset(&self.second);
        }
    }
}

/// How many pipes this process has for bulk, each of them two descriptors.
pub fn pipes() -> usize {
    pipe::count()
}

/// Has the connection end with a reset when it is dropped, so that nobody takes what was cut off for the whole. The system does the same
/// when the program is killed.
pub fn reset(stream: &TcpStream) {
    // Fails only for a connection that is gone already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Takes [`reset`] back: both directions have ended in order, and what was written is delivered after the connection is dropped.
pub fn settle(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(None);
}

#[cfg(test)]
mod tests;
