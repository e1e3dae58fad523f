//! What can become of a link.

use std::{io, time::Duration};

use super::PythonBytes;
use crate::{
    net::DialError,
    wire::{DecodeError, ErrorCode, Escaped},
};

/// Why there is no link, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The relay did not answer the hello in time.
    #[error("the relay did not answer; does it speak version 2 of the protocol?")]
    NoAnswer,
    /// The relay asks for a token and the client has none.
    #[error("the relay asks for a token")]
    NoToken,
    /// The relay refused or ended the session and said why.
    #[error("the relay refused: {}", Escaped(message.as_bytes()))]
    Refused {
        /// What programs go by.
        code: ErrorCode,
        /// What people read.
        message: String,
    },
    /// The relay ended the connection.
    #[error("the relay ended the connection")]
    Ended,
    /// The relay stops; when to come back.
    #[error("the relay is being stopped")]
    Closing(Duration),
    /// The relay no longer answers.
    #[error("the relay no longer answers")]
    Dead,
    /// The relay has not taken what was sent, and said nothing, for two minutes.
    #[error("the relay does not take what was sent")]
    HeldBack,
    /// What the relay sent cannot be understood.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// What the relay sent are no frames; the first bytes of it. Most likely it delivers payloads alone.
    #[error("the relay sent {}, which is no frame", PythonBytes(.0))]
    NotFrames(Vec<u8>),
    /// The connection broke.
    #[error("the connection to the relay broke: {0}")]
    Io(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_relay_cannot_steer_a_terminal_or_forge_a_line_of_the_log() {
        let message = "\u{1b}[2J\nall is well".to_owned();
        let error = LinkError::Refused { code: ErrorCode::Unauthorized, message };
        assert_eq!(error.to_string(), "the relay refused: \\u{1b}[2J\\nall is well");
    }
}
