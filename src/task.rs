//! Tasks of the runtime, in one form.

use std::pin::Pin;

/// The work of a task.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Boxes the work of a task. The program then has what the runtime does for a task once, and not for each kind of task and each runtime. What runs
/// once for each client of a relay is not boxed: it would take memory for as long as the client stays.
pub(crate) fn task(work: impl Future<Output = ()> + Send + 'static) -> Task {
    Box::pin(work)
}
