//! Logging options shared by every command that logs. Logs go to standard error, so that standard output stays for results.

mod lines;

use std::{
    io::{IsTerminal, stderr, stdout},
    sync::{OnceLock, PoisonError, RwLock},
    time::Duration,
};

use clap::{Args, ValueEnum};
use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use self::lines::Lines;

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

/// Lets through what [`LEVEL`] has. It is asked once for each place in the program that logs, and again when it changes.
struct Level;

impl<S: Subscriber> Layer<S> for Level {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() <= level() { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(level())
    }
}

fn level() -> LevelFilter {
    *LEVEL.read().unwrap_or_else(PoisonError::into_inner)
}

impl LogArgs {
    /// Installs the subscriber for the whole process.
    pub(crate) fn install(&self) {
        self.set_level();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(LogWriter::new)
            .with_target(false)
            .with_ansi(stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
        let registry = tracing_subscriber::registry().with(Level);
        match self.log_format {
            LogFormat::Human => registry.with(lines).init(),
            LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
        }
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

/// Where the subscriber writes.
enum LogWriter {
    Lines(Lines),
    Direct(std::io::Stderr),
}

impl LogWriter {
    fn new() -> Self {
        let lines = LOG.get_or_init(|| {
            let report =
                |dropped| tracing::warn!(dropped, "log lines were dropped because nobody read the log");
            Lines::new(stderr(), report).ok()
        });
        lines.clone().map_or_else(|| Self::Direct(stderr()), Self::Lines)
    }
}

impl std::io::Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Lines(lines) => lines.write(line),
            Self::Direct(output) => output.write(line),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Lines(_) => Ok(()),
            Self::Direct(output) => output.flush(),
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
            let _ = std::io::Write::write_all(&mut stdout(), line.as_bytes());
        }
    }
}

/// Waits a moment until what was logged and said is written. To be called at the end of the program.
pub(super) fn flush() {
    for lines in [&LOG, &OUTPUT].into_iter().filter_map(|lines| lines.get()?.as_ref()) {
        lines.flush(FLUSH_TIMEOUT);
    }
}
