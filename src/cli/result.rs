//! What a command prints as its result, on standard output.

use std::io::{self, ErrorKind, Write, stdout};

use super::Failure;

/// Prints the result of a command.
///
/// # Errors
/// It could not be written, as on a full disk.
pub(super) fn print(result: &[u8]) -> Result<(), Failure> {
    printed(stdout().write_all(result))
}

/// How a command ends that has printed its result.
///
/// # Errors
/// It could not be written, as on a full disk.
pub(super) fn printed(written: io::Result<()>) -> Result<(), Failure> {
    match written.and_then(|()| stdout().flush()) {
        // Whoever read our output has enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| {
            Failure::new(format!("cannot write to standard output: {error}; check where it leads."))
        }),
    }
}
