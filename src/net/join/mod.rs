//! Two connections as one: what either end sends the other receives, to the last byte, and so does its end.
//!
//! A half-close is passed on as a half-close and a reset as a reset. What one side does not take is not read from the other beyond
//! one buffer, so the systems at both ends do the flow control. A stream starts by copying, which is the shortest way for a small
//! exchange; on Linux it turns to `splice(2)` while it carries bulk, and then no byte enters this program.

#[cfg(not(target_os = "linux"))]
mod copied;
#[cfg(target_os = "linux")]
mod pipe;
mod way;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

use way::Way;

#[cfg(not(target_os = "linux"))]
use copied as pipe;

/// How often a connection that has nothing more to say is asked whether it has broken since: it is not read any more, and no other event
/// of the system tells.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Two connections that are being joined. The future ends when both directions have ended or either connection has broken. Dropped before
/// that, it resets both.
#[derive(Debug)]
#[must_use = "a future carries nothing unless it is polled"]
pub struct Join {
    first: TcpStream,
    second: TcpStream,
    there: Way,
    back: Way,
    /// Exists while one direction has ended.
    check: Option<Pin<Box<Sleep>>>,
}

/// What a join has carried, in bytes, and how it ended.
#[derive(Debug)]
pub struct Joined {
    /// From the first connection to the second.
    pub there: u64,
    /// From the second to the first.
    pub back: u64,
    /// What broke either connection, if anything; both were reset then.
    pub broken: Option<io::Error>,
}

impl Join {
    /// Joins two connections. `from_first` and `from_second` were received from them already and go before all else.
    pub fn new(first: TcpStream, second: TcpStream, from_first: Vec<u8>, from_second: Vec<u8>) -> Self {
        Self { first, second, there: Way::new(from_first), back: Way::new(from_second), check: None }
    }

    /// Bytes carried so far, both ways together.
    pub fn carried(&self) -> u64 {
        self.there.carried() + self.back.carried()
    }

    /// What has broken the connection that has nothing more to say, if one has.
    fn broken_silently(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        let silent = match (self.there.is_done(), self.back.is_done()) {
            (true, false) => &self.first,
            (false, true) => &self.second,
            _ => return None,
        };
        let check = self.check.get_or_insert_with(|| Box::pin(sleep(CHECK_EVERY)));
        while check.as_mut().poll(cx).is_ready() {
            if let Ok(Some(error)) | Err(error) = silent.take_error() {
                return Some(error);
            }
            check.as_mut().reset(Instant::now() + CHECK_EVERY);
        }
        None
    }

    fn break_off(&self, error: io::Error) -> Joined {
        reset(&self.first);
        reset(&self.second);
        self.joined(Some(error))
    }

    fn joined(&self, broken: Option<io::Error>) -> Joined {
        Joined { there: self.there.carried(), back: self.back.carried(), broken }
    }
}

impl Future for Join {
    type Output = Joined;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Joined> {
        let this = self.get_mut();
        let there = this.there.poll(cx, &mut this.first, &mut this.second);
        let back = this.back.poll(cx, &mut this.second, &mut this.first);
        match (there, back) {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => Poll::Ready(this.break_off(error)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(this.joined(None)),
            _ => match this.broken_silently(cx) {
                Some(error) => Poll::Ready(this.break_off(error)),
                None => Poll::Pending,
            },
        }
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

/// Has the connection end with a reset when it is dropped, so that nobody takes what was cut off for the whole.
pub fn reset(stream: &TcpStream) {
    // Fails only for a connection that is gone already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests;
