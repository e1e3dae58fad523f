//! What no event of the system tells: that a connection with nothing more to say has broken, and that a machine no longer answers.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

use super::{Broken, Edge};
use crate::net::silence::{Silence, look_every, unanswered};

/// Looks at both connections now and then. A join has one only while there is something to look for: one that rests has none.
#[derive(Debug)]
pub(super) struct Watch {
    every: Duration,
    next: Pin<Box<Sleep>>,
    first: Silence,
    second: Silence,
}

impl Watch {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        let every = look_every(limit.unwrap_or(Duration::MAX));
        Self { every, next: Box::pin(sleep(every)), first: Silence::new(), second: Silence::new() }
    }

    /// Whether it is time to look; otherwise the task is woken when it is.
    pub(super) fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        if self.next.as_mut().poll(cx) == Poll::Pending {
            return false;
        }
        self.next.as_mut().reset(Instant::now() + self.every);
        true
    }

    /// Whether either connection awaits an answer.
    ///
    /// # Errors
    /// Either has been without one for as long as `limit`.
    pub(super) fn awaits_answer(
        &mut self,
        first: &TcpStream,
        second: &TcpStream,
        limit: Option<Duration>,
    ) -> Result<bool, Broken> {
        let Some(limit) = limit else { return Ok(false) };
        let silences = [self.first.lasts(first), self.second.lasts(second)];
        for (edge, silence) in [Edge::First, Edge::Second].into_iter().zip(silences) {
            if silence.is_some_and(|silence| silence >= limit) {
                return Err(Broken { at: Some(edge), error: unanswered() });
            }
        }
        Ok(silences.iter().any(Option::is_some))
    }
}
