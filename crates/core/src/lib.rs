//! The core of `relay`: everything that decides what the relay does, and nothing that touches the system.
//!
//! The crate has no socket, no thread, no clock and no source of randomness. The caller (the *driver*) passes in received bytes, the
//! time and random numbers, and does what the core asks for. The relay's servers drive the core with real connections; tests, fuzzers
//! and the simulator drive the same code without any.
//!
//! * [`wire`]: bytes <-> frames and control messages.

pub mod wire;
