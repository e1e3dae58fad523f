//! For how long the machine at the other end has not answered.

use std::time::Duration;

use tokio::time::Instant;

use super::answers::{Answers, AsSocket, answers, last_answer};

/// The longest time between two looks at a connection.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often to look at connections that are to end when unanswered for `limit`.
pub fn look_every(limit: Duration) -> Duration {
    (limit / 4).clamp(Duration::from_millis(10), LOOK_EVERY)
}

/// Watches one connection. Exists while something may be unanswered, and is asked every [`look_every`].
#[derive(Debug)]
pub struct Silence {
    /// At the last look that found nothing missing.
    answered: Instant,
}

impl Silence {
    /// Begins now.
    pub fn new() -> Self {
        Self { answered: Instant::now() }
    }

    /// For how long answers have been missing, zero if they come; `None` if none is awaited.
    pub fn lasts(&mut self, stream: &impl AsSocket) -> Option<Duration> {
        let now = Instant::now();
        match answers(stream) {
            Answers::Missing => {
                // On a bad line every look may find something missing, although answers came in between.
                let since = now - self.answered;
                Some(last_answer(stream).map_or(since, |ago| since.min(ago)))
            }
            Answers::Awaited => {
                self.answered = now;
                Some(Duration::ZERO)
            }
            Answers::All => {
                self.answered = now;
                None
            }
        }
    }
}

impl Default for Silence {
    fn default() -> Self {
        Self::new()
    }
}

/// What ends a connection whose other machine does not answer.
pub fn unanswered() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "the machine at the other end does not answer")
}
