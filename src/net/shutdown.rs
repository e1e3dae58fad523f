//! The signals that ask a program to stop.

use std::io;

/// Completes at the first SIGINT (Ctrl-C) or, on Unix, SIGTERM; the text names it. The handlers are in place when this function
/// returns, not only when the future is first polled.
///
/// # Errors
/// When the system refuses a signal handler.
pub fn stop_signal() -> io::Result<impl Future<Output = &'static str>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            }
        })
    }
    #[cfg(not(unix))]
    {
        let mut interrupt = tokio::signal::windows::ctrl_c()?;
        Ok(async move {
            interrupt.recv().await;
            "Ctrl-C"
        })
    }
}
