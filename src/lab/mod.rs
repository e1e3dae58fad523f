//! Practice servers and clients, and the emulation of bad networks.
//!
//! A server is three things: [`serve`] accepts and stops, a [`Handler`] takes each connection, and most handlers are [`Hosted`]: a
//! [`Service`] that holds the conversation, behind a [`network`]. Nothing that a client sends ends a server, and no wait is
//! without a limit.

pub mod check;
mod clock;
mod connect;
mod connection;
mod echo;
mod error;
pub mod files;
mod frame;
mod hosted;
mod json;
pub mod network;
mod pace;
mod proxy;
mod received;
mod request;
mod server;
mod shown;
mod stop;
pub mod talk;
#[cfg(test)]
mod testing;
mod timestamp;
mod upload;

pub use connect::{Retry, connect};
pub use connection::{Connection, Stream};
pub use echo::Echo;
pub use error::{ClientError, PeerError, ServiceError};
pub use hosted::{Hosted, Service};
pub use json::Json;
pub use proxy::Proxy;
pub use received::Received;
pub use request::request;
pub use server::{Handler, Limits, Serving, serve};
pub use shown::{Preview, TerminalText};
pub use stop::{Stop, Stopper, stop_channel};
pub use timestamp::Timestamp;
pub use upload::{Confirmation, upload};
