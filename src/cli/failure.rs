//! How a command ends when it does not succeed.

use std::{
    fmt,
    io::{Write, stderr},
    process::ExitCode,
};

/// One sentence for a person, with what to do next, and an exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    sentence: String,
    code: u8,
}

impl Failure {
    /// The work failed: exit code 1.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), code: 1 }
    }

    /// The command was used wrongly, in a way that the argument parser cannot see: exit code 2.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self::new(sentence).with_code(2)
    }

    /// The same failure with another exit code, for commands that document their own.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Prints the sentence to standard error and gives the exit code to the caller.
    pub fn report(&self) -> ExitCode {
        tell(&self.to_string());
        ExitCode::from(self.code)
    }
}

/// One line for the person, on standard error. Whoever closed it does not want to know, and the program goes on.
pub(super) fn tell(line: &str) {
    let _ = stderr().write_all(format!("relay: {line}\n").as_bytes());
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}
