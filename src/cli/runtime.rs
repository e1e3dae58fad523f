//! The async runtimes the commands run on.

use std::{future::Future, num::NonZeroUsize, pin::Pin, time::Duration};

use super::Failure;

/// Runs a client's future on this thread alone: clients have few connections and no need of workers.
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

/// How long work that cannot be cancelled may hold up the end of the program.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

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
    // Streams that still run are broken off here, so that nobody takes them for whole. A look-up of a name may not end in time.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result
}

/// Runs the future of one end of tunnels. On Linux the streams have threads of their own, and what is left is little: one thread does it
/// without waking another. Elsewhere the streams are tasks, which want all processors.
///
/// # Errors
/// The future's own failure, or that the system gave no threads or event queue.
pub(crate) fn block_on_tunnel<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    if cfg!(target_os = "linux") { block_on(work) } else { block_on_workers(None, work) }
}

/// The failure of a program that cannot be told to stop.
pub(crate) fn no_signals(error: std::io::Error) -> Failure {
    Failure::new(format!("cannot wait for signals: {error}; raise the limit on open files."))
}

/// Does `work` on a thread of its own and waits for it. Reading arguments takes a hundred kilobytes of stack once; a relay that then
/// runs for months is not to keep them.
pub fn aside<T: Send>(work: impl Fn() -> T + Sync) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(ASIDE_STACK_BYTES).spawn_scoped(scope, &work);
        // Without a thread to be had, here is as good; a panic has already ended the program.
        thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(&work)
    })
}

/// As much as a program's first thread has.
const ASIDE_STACK_BYTES: usize = 8 << 20;
