//! The async runtimes the commands run on.

use std::future::Future;

use super::Failure;

/// Runs a client's future on this thread alone: clients have one connection and no need of workers.
///
/// # Errors
/// The future's own failure, or that the system gave no event queue.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| Failure::new(format!("cannot start: {e}; raise the limit on open files.")))?;
    let result = runtime.block_on(work);
    // A read of standard input cannot be cancelled; do not wait for it.
    runtime.shutdown_background();
    result
}
