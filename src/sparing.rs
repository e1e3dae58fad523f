//! Lines of the log that outsiders can cause: of each kind the first in a second is written, and the others are counted.
//!
//! It is for lines that are alike within their kind. Where each line says something of its own, such as the address of who sent nonsense,
//! [`LogLimit`](name_relay_core::log_limit::LogLimit) writes as many as a person can read.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, time::sleep};

use crate::task::task;

/// How long further lines of a kind are counted after one that was written.
const SILENT_FOR: Duration = Duration::from_secs(1);

/// The kinds of which a line was written lately, and how many were not. A kind is a variant of an enum: there are few.
#[derive(Debug)]
pub(crate) struct Sparing<K> {
    left_out: Mutex<Vec<(K, u64)>>,
    /// Lines are caused by threads that are not the runtime's, too.
    runtime: Handle,
}

impl<K: Copy + Eq + Send + 'static> Sparing<K> {
    /// Nothing was written yet. To be called within a Tokio runtime.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { left_out: Mutex::default(), runtime: Handle::current() })
    }

    /// Whether a line of this kind is to be written now. After such a line, and if there were any, `others` is told a second later how many
    /// were left out.
    pub(crate) fn is_first(self: &Arc<Self>, kind: K, others: impl FnOnce(u64) + Send + 'static) -> bool {
        let is_first = self.count(kind);
        if is_first {
            self.tell_later(kind, Box::new(others));
        }
        is_first
    }

    /// Counts a line that is not written because one of its kind was; says whether there was none.
    fn count(&self, kind: K) -> bool {
        let mut left_out = self.lock();
        match left_out.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => {
                *count += 1;
                false
            }
            None => {
                left_out.push((kind, 0));
                true
            }
        }
    }

    fn tell_later(self: &Arc<Self>, kind: K, others: Box<dyn FnOnce(u64) + Send>) {
        let sparing = Arc::clone(self);
        self.runtime.spawn(task(async move {
            sleep(SILENT_FOR).await;
            let mut left_out = sparing.lock();
            let count = left_out
                .iter()
                .position(|(known, _)| *known == kind)
                .map_or(0, |at| left_out.swap_remove(at).1);
            drop(left_out);
            if count > 0 {
                others(count);
            }
        }));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(K, u64)>> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_of_a_kind_each_second_is_written_and_the_others_are_counted() {
        let (sparing, counted) = (Sparing::new(), Arc::new(AtomicU64::new(0)));
        let say = |kind| {
            let counted = Arc::clone(&counted);
            sparing.is_first(kind, move |others| {
                counted.fetch_add(others, Relaxed);
            })
        };
        assert!(say(1) && !say(1) && say(2) && !say(1));
        sleep(Duration::from_millis(999)).await;
        assert!(!say(1) && counted.load(Relaxed) == 0);
        sleep(Duration::from_millis(2)).await;
        assert_eq!(counted.load(Relaxed), 3);
        assert!(say(1) && say(2));
        sleep(Duration::from_millis(1001)).await;
        assert_eq!(counted.load(Relaxed), 3);
    }
}
