//! A command line that names no command to run: it asks for help or the version, or is wrong.

use std::process::ExitCode;

use clap::{
    Error,
    error::{ContextKind, ContextValue},
};

use super::{Failure, failure::tell, result::printed};

/// Prints what the argument parser has to say, and gives the exit code.
///
/// # Errors
/// What was asked for could not be written.
pub fn unread(error: &Error) -> Result<ExitCode, Failure> {
    let written = error.print();
    if error.use_stderr() {
        if is_about_relay(error) {
            tell(if std::env::var_os("RELAY_ADDR").is_some() {
                "the relay's address is from RELAY_ADDR; correct it there, or use --relay HOST:PORT."
            } else {
                "the relay's address may also be in the environment, as RELAY_ADDR=HOST:PORT."
            });
        }
        // Whoever closed standard error does not want to know.
        return Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)));
    }
    printed(written).map(|()| ExitCode::SUCCESS)
}

/// Whether the relay's address is missing, or is none although the command line does not name it.
fn is_about_relay(error: &Error) -> bool {
    let is_given = std::env::args_os().any(|word| word.to_string_lossy().starts_with("--relay"));
    let is_relay = |text: &String| text.starts_with("--relay ");
    !is_given
        && match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(text)) => is_relay(text),
            Some(ContextValue::Strings(texts)) => texts.iter().any(is_relay),
            _ => false,
        }
}
