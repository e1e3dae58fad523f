//! The bounds of the simulated relay, small enough for random schedules to reach them.

use name_relay_core::{deadlines::Deadlines, session::InputLimits};

/// What waits for one client, and for all beyond that, in bytes.
pub(crate) const SHARE: usize = 96;
pub(crate) const EXTRA: usize = 256;
/// Recipients of one batch.
pub(crate) const RECIPIENTS_MAX: usize = 2;
pub(crate) const MESSAGE_BYTES_MAX: u64 = 100;
pub(crate) const STREAM_BYTES_MIN: u64 = 40;
/// What is read at once, and what of it a session may keep in any case.
pub(crate) const BUFFER_BYTES: usize = 8 << 10;
const INPUT_SHARE: usize = 64;
/// Clients at a time, and with a crowd.
pub(crate) const CLIENTS_MAX: usize = 24;
pub(crate) const CROWD_MAX: usize = 400;

/// Fuel of a step.
pub(crate) const FUEL: u64 = 20_000;

/// How deep steps of other workers come between.
pub(crate) const DEPTH_MAX: usize = 2;

/// What may wait beyond its bound for one client: a message larger than the queue, and the relay's own last words.
pub(crate) const BEYOND: usize = MESSAGE_BYTES_MAX as usize + 64 + 256;

/// The deadlines, in ticks.
pub(crate) const IDLE: u32 = 12;
pub(crate) const WRITE: u32 = 5;
pub(crate) const GRACE: u32 = 4;
const GRACE_BYTES_MIN: u64 = 8;

pub(crate) const LIMITS: InputLimits =
    InputLimits { share: INPUT_SHARE, rate_bytes_min: GRACE_BYTES_MIN, grace: GRACE, wait_max: IDLE };

pub(crate) const DEADLINES: Deadlines = Deadlines {
    idle: IDLE,
    write: WRITE,
    grace: GRACE,
    grace_bytes_min: GRACE_BYTES_MIN,
    drain_bytes_per_tick: 8,
};
