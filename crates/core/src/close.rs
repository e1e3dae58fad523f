//! Why a connection ends.

use std::{fmt, io};

use crate::wire::{BadControl, DecodeError, ErrorCode, HeaderError};

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client shut down its sending side.
    Finished,
    /// The connection broke.
    Disconnected,
    /// The client was silent for too long.
    Idle,
    /// Its queue was full and it accepted nothing for too long.
    SlowConsumer,
    /// It held a recipient that others wanted and sent too slowly.
    TooSlow,
    /// A message was larger than what the relay could keep beside all others.
    Starved,
    /// The relay stops.
    Shutdown,
    /// Its owner has registered the name anew.
    Replaced,
    /// What the relay allows has changed.
    Revoked,
    /// What it sent is no frame.
    BadHeader(HeaderError),
    /// A control frame that cannot be understood.
    BadControl(BadControl),
    /// A version 1 client sent a message over the limit of framed delivery.
    TooLarge(u64),
}

impl CloseReason {
    /// For an atomic: only the endings that others than the session itself can decide; 0 is none.
    pub fn code(self) -> u8 {
        match self {
            Self::Idle => 1,
            Self::SlowConsumer => 2,
            Self::TooSlow => 3,
            Self::Shutdown => 4,
            Self::Replaced => 5,
            Self::Revoked => 6,
            _ => 7,
        }
    }

    /// The reason that [`CloseReason::code`] gave this code for.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => None,
            1 => Some(Self::Idle),
            2 => Some(Self::SlowConsumer),
            3 => Some(Self::TooSlow),
            4 => Some(Self::Shutdown),
            5 => Some(Self::Replaced),
            6 => Some(Self::Revoked),
            _ => Some(Self::Disconnected),
        }
    }

    /// The code that a version 2 client is told, if there is anything to tell.
    pub fn error_code(self) -> Option<ErrorCode> {
        match self {
            Self::Finished | Self::Disconnected | Self::Shutdown => None,
            Self::Replaced => Some(ErrorCode::Replaced),
            Self::Revoked => Some(ErrorCode::Unauthorized),
            Self::Idle => Some(ErrorCode::Timeout),
            Self::Starved => Some(ErrorCode::Timeout),
            // Its connection takes no more bytes, so there is no way to tell it.
            Self::SlowConsumer => None,
            Self::TooSlow => Some(ErrorCode::TooSlow),
            Self::BadHeader(_) | Self::BadControl(_) => Some(ErrorCode::BadFrame),
            Self::TooLarge(_) => Some(ErrorCode::TooLarge),
        }
    }

    /// Whether the client is to blame, so that an operator wants to see it.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::Finished | Self::Disconnected | Self::Shutdown | Self::Replaced)
    }
}

impl From<io::Error> for CloseReason {
    fn from(_: io::Error) -> Self {
        // Resets, broken pipes, timeouts of keepalive: to a relay they all say that the client is gone.
        Self::Disconnected
    }
}

impl From<BadControl> for CloseReason {
    fn from(error: BadControl) -> Self {
        Self::BadControl(error)
    }
}

impl From<DecodeError> for CloseReason {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Header(error) => Self::BadHeader(error),
            DecodeError::TooLarge(_) => Self::BadControl(BadControl::TooLong),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("it finished"),
            Self::Disconnected => f.write_str("the connection was lost"),
            Self::Idle => f.write_str("it was silent for too long"),
            Self::SlowConsumer => f.write_str("it did not read what was sent to it"),
            Self::TooSlow => f.write_str("it kept a recipient from others and sent too slowly"),
            Self::Starved => f.write_str("the relay had no room for so large a message beside all others"),
            Self::Shutdown => f.write_str("the relay stops"),
            Self::Revoked => f.write_str("the relay no longer allows it"),
            Self::Replaced => f.write_str("its owner has registered the name anew"),
            Self::BadHeader(error) => write!(f, "protocol error: {error}"),
            Self::BadControl(error) => write!(f, "protocol error: {error}"),
            Self::TooLarge(length) => {
                write!(f, "a message of {length} bytes is over the limit of framed delivery")
            }
        }
    }
}
