//! A command line that names no command to run: it asks for help or the version, or is wrong.

use std::process::ExitCode;

use clap::{
    Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{Failure, failure::tell, result::printed};
use crate::net::Target;

/// Prints what the argument parser has to say, and gives the exit code.
///
/// # Errors
/// What was asked for could not be written.
pub fn unread(error: &Error) -> Result<ExitCode, Failure> {
    let written = error.print();
    if error.use_stderr() {
        if let Some(hint) = hint(error) {
            tell(&hint);
        }
        // Whoever closed standard error does not want to know.
        return Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)));
    }
    printed(written).map(|()| ExitCode::SUCCESS)
}

/// What is most likely meant, beside what the argument parser says.
fn hint(error: &Error) -> Option<String> {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let command = words.first().map_or("", String::as_str);
    let is_set = std::env::var_os("RELAY_ADDR").is_some();
    if is_about_relay(error) {
        // These two take no other address.
        let is_address = |word: &&String| word.parse::<Target>().is_ok();
        let address = words.iter().skip(1).find(is_address).filter(|_| ["send", "recv"].contains(&command));
        return Some(match address {
            _ if is_set => {
                "the relay's address is from RELAY_ADDR; correct it there, or use --relay HOST:PORT."
                    .to_owned()
            }
            Some(address) => {
                format!(
                    "to use the relay at {address}, write --relay {address}, or set RELAY_ADDR={address}."
                )
            }
            None => "the relay's address may also be in the environment, as RELAY_ADDR=HOST:PORT.".to_owned(),
        });
    }
    match (command, error.kind(), error.get(ContextKind::InvalidArg)) {
        ("recv", ErrorKind::UnknownArgument, Some(ContextValue::String(word))) if !word.starts_with('-') => {
            let option = if word.parse::<Target>().is_ok() { "--relay" } else { "--as" };
            Some(format!("`relay recv` takes options only; write {option} {word}."))
        }
        ("connect", ErrorKind::MissingRequiredArgument, _) if is_set => Some(
            "`relay connect` does not look at RELAY_ADDR; write the relay's HOST and PORT before the NAME."
                .to_owned(),
        ),
        _ => None,
    }
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
