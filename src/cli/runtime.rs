//! The async runtimes the commands run on.

use std::{future::Future, num::NonZeroUsize, pin::Pin};

use super::Failure;

/// Runs a client's future on this thread alone: clients have one connection and no need of workers.
///
/// # Errors
/// The future's own failure, or that the system gave no event queue.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| Failure::new(format!("cannot start: {e}; raise the limit on open files.")))?;
    // Boxed, so that the program has the runtime's loop once and not for each command.
    let work: Pin<Box<dyn Future<Output = _>>> = Box::pin(work);
    let result = runtime.block_on(work);
    // A read of standard input cannot be cancelled; do not wait for it.
    runtime.shutdown_background();
    result
}

/// Turns of a busy worker before it looks for new events. A turn can route a megabyte, so Tokio's usual 61 would let a quiet
/// conversation wait for milliseconds behind loud ones.
const TURNS_PER_EVENT_CHECK: u32 = 8;

/// Runs a server's future with worker threads, `workers` of them or one for each processor.
///
/// # Errors
/// The future's own failure, or that the system gave no threads or event queue.
pub(crate) fn block_on_workers<T>(
    workers: Option<NonZeroUsize>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().event_interval(TURNS_PER_EVENT_CHECK);
    if let Some(workers) = workers {
        builder.worker_threads(workers.get());
    }
    let runtime = builder
        .build()
        .map_err(|e| Failure::new(format!("cannot start: {e}; raise the system's limits.")))?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}
