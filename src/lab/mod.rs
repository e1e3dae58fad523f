//! Practice servers and clients, and the emulation of bad networks.

pub mod network;
