//! Bytes <-> frames and control messages. No socket, no clock.
