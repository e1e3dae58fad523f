//! What the program's own clients share: a link to a relay, and the ways of using it.

mod bytes;
mod error;
mod greet;
mod inbox;
mod link;
mod liveness;
mod pieces;
mod transfer;

pub use bytes::PythonBytes;
pub use error::LinkError;
pub use greet::{Credentials, greet};
pub use inbox::{Arrived, Inbox, Running};
pub use link::{Event, Link, Mode};
pub use pieces::{Cut, Outgoing, Piece, read_pieces};
pub use transfer::{DATA_PREFIX, Part, Refusal};
