//! SIGHUP: the file is read again, and what can change while the relay runs changes.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use super::settings::Settings;
use crate::{cli::Failure, relay::Control};

/// Reads the settings again at every SIGHUP, for as long as it is polled. With the first poll the signal no longer ends the program.
///
/// # Errors
/// When the system refuses a signal handler.
pub(super) fn at_hangup(
    mut settings: Settings,
    control: Control,
) -> Result<impl Future<Output = ()>, Failure> {
    let mut hangups = signal(SignalKind::hangup())
        .map_err(|error| Failure::new(format!("cannot wait for signals: {error}.")))?;
    Ok(async move {
        while hangups.recv().await.is_some() {
            let config = settings.serve.config.clone();
            match read(config.as_deref(), &control) {
                Ok(new) => {
                    for option in new.needs_restart(&settings) {
                        warn!(option, "changed, but needs a restart");
                    }
                    info!("reloaded");
                    settings = new;
                }
                Err(failure) => error!(reason = %failure, "not reloaded; everything stays as it was"),
            }
        }
    })
}

/// Checks everything before anything changes.
fn read(config: Option<&Path>, control: &Control) -> Result<Settings, Failure> {
    let settings = Settings::read(config)?;
    settings.serve.settled()?;
    let policy = settings.policy()?;
    settings.serve.log.set_level();
    Settings::warn_of_short_tokens(&policy);
    control.set_policy(policy);
    Ok(settings)
}
