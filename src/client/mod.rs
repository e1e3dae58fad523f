//! What the program's own clients share: a link to a relay, and the ways of using it.

mod bytes;
mod inbox;
mod link;
mod transfer;

pub use bytes::PythonBytes;
pub use inbox::{Arrived, Inbox, Running};
pub use link::{Event, Link, LinkError, Mode};
pub use transfer::{Outgoing, Piece, read_pieces};
