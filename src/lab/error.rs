//! What can go wrong in a conversation.

use std::{io, time::Duration};

use super::files::UploadError;
use crate::net::DialError;

/// What the other side of a connection did that ended the conversation; each text continues "the other side …".
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// No byte came in time.
    #[error("sent nothing for {0:?}")]
    Silent(Duration),
    /// No byte was taken in time.
    #[error("took nothing for {0:?}")]
    Stalled(Duration),
    /// Bytes came, or were taken, but not to an end in time; the text says which.
    #[error("was still {0} after {1:?}")]
    Unfinished(&'static str, Duration),
    /// The connection ended in the middle of something.
    #[error("closed the connection before {0} was complete")]
    Closed(&'static str),
    /// The connection was torn down.
    #[error("reset the connection")]
    Reset,
    /// More was announced than is taken.
    #[error("announced {announced} bytes where at most {limit} are taken")]
    TooLarge {
        /// The announced length in bytes.
        announced: u64,
        /// The most that is taken, in bytes.
        limit: u64,
    },
    /// Something else came than the protocol says.
    #[error("sent {0}")]
    Malformed(String),
    /// Anything else the system reported.
    #[error("cannot be talked to: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for PeerError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected => Self::Reset,
            _ => Self::Io(error),
        }
    }
}

/// Why a practice server ended a connection other than by its plain end.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The client's doing.
    #[error("the client {0}")]
    Peer(#[from] PeerError),
    /// An upload that was not kept.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The proxy could not reach its target.
    #[error(transparent)]
    Target(#[from] DialError),
    /// One of the two connections of the proxy failed.
    #[error("the connection broke: {0}")]
    Broken(#[source] io::Error),
    /// The emulated network's doing.
    #[error("dropped {0:?} after it was opened, as --drop-after says")]
    Dropped(Duration),
}

/// Why a practice client did not get what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The server's doing.
    #[error("the server {0}")]
    Peer(#[from] PeerError),
    /// The server answered that it does not want the file; its words, escaped.
    #[error("the server answered: {0}")]
    Refused(String),
    /// The file to be sent cannot be read.
    #[error("cannot read the file: {0}")]
    File(#[source] io::Error),
    /// What arrived cannot be written to standard output.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
}
