//! That descriptors have run out lately: what only waits for visitors is then not taken in.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::warn;

/// How long a want of descriptors counts. Exposers whose connections are given up ask again after some of these, and for fewer.
const LASTS: Duration = Duration::from_secs(1);

/// Whether descriptors are scarce.
#[derive(Debug, Default)]
pub(super) struct Scarcity(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Until when they count as scarce, if they ever were.
    until: Option<Instant>,
    is_said: bool,
}

impl Scarcity {
    /// There is none left now, and `given` parked connections are given up for it. Said once for the whole time.
    pub(super) fn begin(&self, given: usize) {
        let now = Instant::now();
        let mut state = self.lock();
        if state.until.is_none_or(|until| until < now) {
            state.is_said = false;
        }
        state.until = Some(now + LASTS);
        if given > 0 && !state.is_said {
            state.is_said = true;
            warn!(given, "out of descriptors; connections that only wait for visitors are given up");
        }
    }

    /// Whether they are scarce now.
    pub(super) fn is_on(&self) -> bool {
        self.lock().until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether there was none left since then.
    pub(super) fn was_on_since(&self, since: Instant) -> bool {
        self.lock().until.is_some_and(|until| since < until)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
