//! When a client that was cut off connects again.

use std::time::Duration;

use tokio::time::Instant;

use super::Backoff;

/// How long a connection has to last before the pauses start over: one that ends sooner was of no use, whatever it said when it began.
const LASTING: Duration = Duration::from_secs(10);

/// The longest a relay may ask its clients to stay away. A restart takes a second.
const ASKED_MOST: Duration = Duration::from_secs(5 * 60);

/// The pauses between the attempts to connect: never none, longer with every attempt, and short again only after a connection that lasted.
#[derive(Debug)]
pub struct Reconnect {
    backoff: Backoff,
    connected_since: Option<Instant>,
}

impl Reconnect {
    /// Pauses start near `first`, at half of it at least, and double up to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { backoff: Backoff::new(first, most), connected_since: None }
    }

    /// There is a connection.
    pub fn connected(&mut self) {
        self.connected_since = Some(Instant::now());
    }

    /// The pause before the next attempt, after one that failed or a connection that ended. `asked` is what the relay asked for, which
    /// jitter is added to.
    pub fn pause(&mut self, asked: Duration) -> Duration {
        if self.connected_since.take().is_some_and(|since| since.elapsed() >= LASTING) {
            self.backoff.reset();
        }
        asked.min(ASKED_MOST) + self.backoff.wait()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const FIRST: Duration = Duration::from_millis(250);
    const MOST: Duration = Duration::from_secs(15);

    #[tokio::test(start_paused = true)]
    async fn connections_that_end_at_once_are_made_ever_less_often() {
        let mut reconnect = Reconnect::new(FIRST, MOST);
        let start = Instant::now();
        let mut attempts = 0;
        while start.elapsed() < Duration::from_secs(60) {
            attempts += 1;
            reconnect.connected();
            let pause = reconnect.pause(Duration::ZERO);
            assert!(pause >= FIRST / 2, "{pause:?}");
            advance(pause).await;
        }
        assert!(attempts < 16, "{attempts} in a minute");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_connection_that_lasted_starts_over() {
        let mut reconnect = Reconnect::new(FIRST, MOST);
        for _ in 0..4 {
            reconnect.pause(Duration::ZERO);
        }
        reconnect.connected();
        advance(LASTING - Duration::from_millis(1)).await;
        assert!(reconnect.pause(Duration::ZERO) > FIRST);
        reconnect.connected();
        advance(LASTING).await;
        assert!(reconnect.pause(Duration::ZERO) <= FIRST);
        // Once.
        assert!(reconnect.pause(Duration::ZERO) >= FIRST / 2);
    }

    #[test]
    fn what_the_relay_asks_for_is_kept_within_reason() {
        let second = Duration::from_secs(1);
        let pause = Reconnect::new(FIRST, MOST).pause(second);
        assert!(pause > second && pause <= second + FIRST, "{pause:?}");
        let pause = Reconnect::new(FIRST, MOST).pause(Duration::MAX);
        assert!(pause <= ASKED_MOST + FIRST, "{pause:?}");
    }
}
