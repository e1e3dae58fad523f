//! A command line that names no command to run: it asks for help or the version, or is wrong.

use std::process::ExitCode;

use clap::Error;

use super::{Failure, result::printed};

/// Prints what the argument parser has to say, and gives the exit code.
///
/// # Errors
/// What was asked for could not be written.
pub fn unread(error: &Error) -> Result<ExitCode, Failure> {
    let written = error.print();
    if error.use_stderr() {
        // Whoever closed standard error does not want to know.
        return Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)));
    }
    printed(written).map(|()| ExitCode::SUCCESS)
}
