//! What the practice clients share: whom to connect to, how often to try, how long to wait.

use std::time::Duration;

use clap::Args;

use super::sentence;
use crate::{
    cli::{
        Failure,
        values::{Span, host_alone},
    },
    lab::{Connection, Retry, connect},
    net::{DialError, Target},
};

#[derive(Debug, Clone, Args)]
pub(super) struct ClientArgs {
    /// Name or address of the server
    #[arg(value_parser = host_alone)]
    host: String,

    /// Its port
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct RetryArgs {
    /// How long connecting may take, and then each wait for the server
    #[arg(long, value_name = "TIME", default_value = "5s")]
    timeout: Span,

    /// How often connecting is tried again
    #[arg(long, value_name = "N", default_value = "3")]
    retries: u32,

    /// How long to wait before that
    #[arg(long, value_name = "TIME", default_value = "2s")]
    retry_delay: Span,
}

impl ClientArgs {
    pub(super) fn target(&self) -> Target {
        Target::new(self.host.as_str(), self.port)
    }

    /// Connects, saying on standard error what fails.
    pub(super) async fn connect(&self, retry: &RetryArgs) -> Result<Connection, Failure> {
        let retry = retry.retry()?;
        let connected = connect(&self.target(), &retry, on_retry(&retry)).await;
        connected.map_err(|error| sentence::client(error.into()))
    }
}

impl RetryArgs {
    pub(super) fn retry(&self) -> Result<Retry, Failure> {
        if self.timeout.0 == Duration::ZERO {
            return Err(Failure::usage("--timeout is to be longer than nothing."));
        }
        Ok(Retry { timeout: self.timeout.0, retries: self.retries, delay: self.retry_delay.0 })
    }
}

/// Says that an attempt failed and is repeated.
pub(super) fn on_retry(retry: &Retry) -> impl FnMut(&DialError, u32) + use<> {
    let Retry { retries, delay, .. } = *retry;
    move |error, next| note(&format!("relay: {}", sentence::retry(error, next, retries, delay)))
}

/// A line for the person, beside the results: on standard error.
pub(super) fn note(line: &str) {
    // Whoever closed standard error does not want to know.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}
