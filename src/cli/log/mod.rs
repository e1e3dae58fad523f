//! Logging options shared by every command that logs. Logs go to standard error, so that standard output stays for results.

mod events;
mod lines;

use std::{
    io::{IsTerminal, Write, stderr, stdout},
    sync::{OnceLock, PoisonError, RwLock},
    time::Duration,
};

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;

use self::{events::Events, lines::Lines};

/// How and how much to log.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// How much to log: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "RELAY_LOG")]
    log_level: LevelFilter,

    /// Log lines for people, or one JSON object a line
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Human,
    Json,
}

/// How much is logged now.
static LEVEL: RwLock<LevelFilter> = RwLock::new(LevelFilter::INFO);

fn level() -> LevelFilter {
    *LEVEL.read().unwrap_or_else(PoisonError::into_inner)
}

impl LogArgs {
    /// Installs the subscriber for the whole process.
    pub(crate) fn install(&self) {
        self.set_level();
        let is_colored = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        // A process has one. Only a caller that installs a second one could fail, and the first goes on.
        let _ = tracing::subscriber::set_global_default(Events::new(self.log_format, is_colored, log));
    }

    /// Logs so much from now on.
    pub(crate) fn set_level(&self) {
        *LEVEL.write().unwrap_or_else(PoisonError::into_inner) = self.log_level;
        tracing::callsite::rebuild_interest_cache();
    }

    pub(crate) fn format(&self) -> LogFormat {
        self.log_format
    }
}

/// How long the end of the program waits for a reader of its last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Lines for standard error, once there are any. None if the system gave no thread: then lines are written by whoever has them.
static LOG: OnceLock<Option<Lines>> = OnceLock::new();

/// Lines for standard output of a program that goes on running.
static OUTPUT: OnceLock<Option<Lines>> = OnceLock::new();

/// Writes a line of the log. Whoever closed standard error does not want to know.
fn log(line: &str) {
    let lines = LOG.get_or_init(|| {
        let report = |dropped| tracing::warn!(dropped, "log lines were dropped because nobody read the log");
        Lines::new(stderr(), report).ok()
    });
    match lines {
        Some(lines) => lines.push(line.as_bytes()),
        None => {
            let _ = stderr().write_all(line.as_bytes());
        }
    }
}

/// Writes a line to standard output for a program that goes on running: it does not wait for whoever reads it. Whoever closed standard output
/// does not want to know.
pub(super) fn say(line: &str) {
    let line = format!("{line}\n");
    match OUTPUT.get_or_init(|| Lines::new(stdout(), |_| {}).ok()) {
        Some(lines) => lines.push(line.as_bytes()),
        None => {
            let _ = stdout().write_all(line.as_bytes());
        }
    }
}

/// Waits a moment until what was logged and said is written. To be called at the end of the program.
pub(super) fn flush() {
    for lines in [&LOG, &OUTPUT].into_iter().filter_map(|lines| lines.get()?.as_ref()) {
        lines.flush(FLUSH_TIMEOUT);
    }
}
