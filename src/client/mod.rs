//! What the program's own clients share: a link to a relay, and the ways of using it.

mod bytes;
mod claim;
mod error;
mod greet;
mod inbox;
mod link;
mod liveness;
mod pieces;
mod registration;
mod transfer;

pub use bytes::PythonBytes;
pub use claim::Claim;
pub use error::LinkError;
pub use greet::{Credentials, greet};
pub use inbox::{Arrived, Inbox, Running, Sent};
pub use link::{Event, Link, Mode};
pub use pieces::{Cut, Outgoing, Piece, read_pieces};
pub use registration::Registration;
pub use transfer::{DATA_PREFIX, Part, Refusal};
