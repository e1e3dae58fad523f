//! An automated conversation that finds out whether a server can be reached, whether it answers, and how fast.

mod large;
mod probe;
mod report;
mod steps;

use std::time::Duration;

use super::{ClientError, connect::Retry};
use crate::net::{DialError, Target};

pub use report::{Report, Row, State};

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How to connect, and how long to wait for anything.
    pub retry: Retry,
    /// Short messages, one after the other.
    pub messages: u32,
    /// Connections at the same time.
    pub connections: u32,
    /// The size of the large message in bytes.
    pub large_bytes: usize,
    /// The silence that ends an answer.
    pub pause: Duration,
}

/// Tries everything in order, up to the first thing that fails. `on_retry` hears of each attempt to connect that failed and is
/// repeated.
pub async fn check(target: &Target, plan: &Plan, on_retry: impl FnMut(&DialError, u32)) -> Report {
    let mut report = Report::default();
    if let Err(error) = steps::all(target, plan, on_retry, &mut report).await {
        report.fail(error);
    }
    report
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use super::*;
    use crate::{
        lab::{
            Connection, Echo, Hosted, Limits, Received, Service, Serving, Stop, Timestamp, network::Network,
            serve,
        },
        net::bind,
    };

    fn plan(timeout: Duration) -> Plan {
        let retry = Retry { timeout, retries: 0, delay: Duration::ZERO };
        Plan { retry, messages: 3, connections: 3, large_bytes: 100_000, pause: Duration::from_secs(2) }
    }

    async fn checked(service: impl Service) -> Report {
        checked_within(service, Duration::from_secs(10)).await
    }

    async fn checked_within(service: impl Service, timeout: Duration) -> Report {
        let listener = bind(([127, 0, 0, 1], 0).into(), 16).unwrap();
        let target = Target::new("127.0.0.1", listener.local_addr().unwrap().port());
        let limits = Limits { connections: 20, drain: Duration::ZERO, once: false };
        let hosted = Hosted {
            service: Box::new(service),
            network: Network::default(),
            patience: Duration::from_secs(20),
        };
        let plan = plan(timeout);
        tokio::select! {
            _ = serve(listener, Arc::new(hosted), limits, pending(), pending()) => unreachable!(),
            report = check(&target, &plan, |_, _| {}) => report,
        }
    }

    fn states(report: &Report) -> Vec<State> {
        report.rows().iter().map(|row| row.state).collect()
    }

    #[tokio::test]
    async fn every_practice_server_that_takes_text_passes() {
        let echo = checked(Echo { piece_bytes_max: 1 << 16 }).await;
        assert_eq!(states(&echo), [State::Good; 5], "{echo}");
        assert!(echo.to_string().contains("came back unchanged"), "{echo}");
        let received = checked(Received { chunk_bytes_max: 1 << 16 }).await;
        assert_eq!(states(&received), [State::Good; 5], "{received}");
        // A busy machine may pause as well, and that ends no message.
        let pause = Duration::from_millis(400);
        let timestamp = checked(Timestamp { message_bytes_max: 1 << 20, pause }).await;
        assert_eq!(states(&timestamp), [State::Good; 5], "{timestamp}");
        assert!(timestamp.to_string().contains("closes after each answer"), "{timestamp}");
    }

    /// Answers nothing.
    struct Mute;

    impl Service for Mute {
        fn serve<'a>(&'a self, connection: &'a mut Connection, _: Stop) -> Serving<'a> {
            Box::pin(async move {
                while connection.read(&mut [0; 64]).await? > 0 {}
                Ok(())
            })
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_fails_where_it_should_have_answered() {
        let report = checked_within(Mute, Duration::from_secs(1)).await;
        use State::{Failed, Good, Skipped};
        assert_eq!(states(&report), [Good, Good, Failed, Skipped, Skipped], "{report}");
    }
}
