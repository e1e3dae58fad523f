//! What the tests are written with: the program under test, a running relay, raw sockets, the Python client.
//!
//! Nothing here sleeps. Every wait is for an event (a line the program prints, a byte that arrives, a process that ends) and has a
//! deadline that only a broken program meets.

mod process;
mod program;
mod server;
mod socket;

pub use process::{Process, eventually};
pub use program::{command, is_windows, python, relay};
pub use server::{Relay, announced};
pub use socket::{Socket, frame};

use std::{sync::LazyLock, time::Duration};

/// How long any single event may take. `RELAY_TEST_PATIENCE` multiplies it, for slow emulators.
pub static DEADLINE: LazyLock<Duration> = LazyLock::new(|| {
    let factor = std::env::var("RELAY_TEST_PATIENCE").ok().and_then(|f| f.parse().ok()).unwrap_or(1);
    Duration::from_secs(20) * factor
});
