//! `relay`: devices that cannot reach each other talk by name through a relay that anyone can host.
//!
//! The map, in the order the data flows; dependencies point downwards only:
//!
//! * [`cli`]: one file per command: its arguments and a `run` that calls the library. No logic.
//! * [`tunnel`]: a local service under a name, and a local port that leads to a name.
//! * [`lab`]: practice servers and clients, and the emulation of bad networks.
//! * [`client`]: what the program's own clients share: sessions with a relay, the interactive client.
//! * [`relay`]: the server. A frame's way: socket -> session -> [`wire`] -> route -> outbox -> socket.
//! * [`wire`]: bytes <-> frames and control messages; a part of the core crate, `crates/core`.
//! * [`net`]: sockets: dialling, listening, options; every difference between platforms lives here.
//!
//! The wire protocol is `docs/protocol.md`.

pub mod cli;
pub mod client;
pub mod lab;
pub mod net;
pub mod relay;
mod size;
mod sparing;
mod task;
pub mod tunnel;

pub use name_relay_core::wire;
