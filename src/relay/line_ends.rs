//! A hint for whoever wonders where the messages of a client go that sends lines: it ends each frame with a line end, which is then the
//! beginning of the next destination.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::info;

use super::peer::Peer;
use crate::wire::Escaped;

/// Once for each client is enough, and a stranger must not fill the log by connecting anew.
const INTERVAL: Duration = Duration::from_secs(1);
const REMEMBERED: usize = 64;

/// Which clients the hint was given for.
#[derive(Debug, Default)]
pub(super) struct LineEnds(Mutex<Hinted>);

#[derive(Debug, Default)]
struct Hinted {
    /// The last of them.
    addresses: VecDeque<SocketAddr>,
    last: Option<Instant>,
}

impl LineEnds {
    /// A version 1 client has sent a message to `dest`, which nobody has and which begins with a line end.
    pub(super) fn hint(&self, sender: &Peer, dest: &[u8]) {
        let mut hinted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hinted.is_due(sender.address(), Instant::now()) {
            drop(hinted);
            info!(
                name = %sender.name(), address = %sender.address(), to = %Escaped(dest),
                "a message for a name that begins with a line end was discarded; the client is to leave out the line end behind each frame"
            );
        }
    }
}

impl Hinted {
    /// Whether to say it of the client now.
    fn is_due(&mut self, address: SocketAddr, now: Instant) -> bool {
        let is_early = self.last.is_some_and(|last| now.duration_since(last) < INTERVAL);
        if is_early || self.addresses.contains(&address) {
            return false;
        }
        if self.addresses.len() == REMEMBERED {
            self.addresses.pop_front();
        }
        self.addresses.push_back(address);
        self.last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_given_once_for_each_client_and_seldom() {
        let mut hinted = Hinted::default();
        let client = |n: usize| SocketAddr::from(([127, 0, 0, 1], n as u16));
        let start = Instant::now();
        assert!(hinted.is_due(client(0), start));
        assert!(!hinted.is_due(client(1), start), "another was given in the same second");
        for second in 1..=REMEMBERED {
            let now = start + INTERVAL * second as u32;
            assert!(!hinted.is_due(client(second - 1), now), "it was said");
            assert!(hinted.is_due(client(second), now));
        }
        assert_eq!(hinted.addresses.len(), REMEMBERED);
    }
}
