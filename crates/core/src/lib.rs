//! The core of `relay`: everything that decides what the relay does, and nothing that touches the system.
//!
//! The crate has no socket, no thread, no clock and no source of randomness. The caller (the *driver*) passes in received bytes, the
//! time and random numbers, makes the writes and wakes whom the core names. The relay drives the core with real connections; tests,
//! fuzzers and the simulator drive the same code without any.
//!
//! The way of a frame: [`session`] (received bytes) -> [`wire`] (header) -> `route` (which recipient) -> `batch` (collected) -> [`outbox`]
//! (written through, or queued).
//!
//! * [`wire`]: bytes <-> frames and control messages.
//! * [`driver`]: what the core asks of its driver.
//! * [`session`]: one client's input, in phases.
//! * [`outbox`]: one client's output, and who may add to it.
//! * [`budget`]: how much may wait in all queues together.
//! * [`registry`]: names and who holds them.
//! * [`policy`], [`admission`], [`log_limit`]: who may do what, and how much of everything.
//! * [`deadlines`]: how long what may last; [`wheel`]: who is looked at when; [`clock`]: coarse time; [`close`]: why a connection ends.
//! * [`mutation`]: faults of the past, for the simulator.

pub mod admission;
pub mod batch;
pub mod budget;
mod carry;
pub mod clock;
pub mod close;
pub mod deadlines;
pub mod driver;
pub mod log_limit;
pub mod mutation;
pub mod outbox;
pub mod policy;
pub mod queue;
pub mod registry;
mod route;
pub mod session;
mod sync;
mod undeliverable;
pub mod wheel;
pub mod wire;
