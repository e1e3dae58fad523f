//! Tunnels: a local service under a name ([`Exposer`]), and a local port that leads to a name ([`Forwarder`]).
//!
//! Every stream is a TCP connection of its own between here and the relay, so no stream waits for another.

mod access;
mod control;
mod exposer;
mod forwarder;
mod pool;
mod proxy_protocol;
mod service;
mod standard;
mod stream;

pub use access::Access;
pub use exposer::Exposer;
pub use forwarder::Forwarder;
pub use pool::READY_DEFAULT;
pub use service::Service;
pub use standard::{StandardError, join_standard};
pub use stream::streams;
