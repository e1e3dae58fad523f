//! Logging options shared by every command that logs. Logs go to standard error, so that standard output stays for results.

use std::{
    io::IsTerminal,
    sync::{PoisonError, RwLock},
};

use clap::{Args, ValueEnum};
use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

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
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
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
