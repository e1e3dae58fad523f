//! Logging options shared by every command that logs. Logs go to standard error, so that standard output stays for results.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;

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

impl LogArgs {
    /// Installs the subscriber for the whole process.
    pub(crate) fn install(&self) {
        let builder = tracing_subscriber::fmt()
            .with_max_level(self.log_level)
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
        match self.log_format {
            LogFormat::Human => builder.init(),
            LogFormat::Json => builder.json().flatten_event(true).init(),
        }
    }

    pub(crate) fn format(&self) -> LogFormat {
        self.log_format
    }
}
