//! What the tests are written with: the program under test, a running relay, raw sockets, the Python client.
//!
//! Nothing here sleeps. Every wait is for an event (a line the program prints, a byte that arrives, a process that ends) and has a
//! deadline that only a broken program meets.

mod bystanders;
mod lab;
#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(target_os = "linux")]
mod netns;
mod process;
mod program;
mod server;
mod socket;
mod tunnel;

pub use bystanders::beside_bystanders;
pub use lab::{LabServer, PythonServer, run_python};
#[cfg(target_os = "linux")]
pub use netns::Machines;
pub use process::{Process, eventually};
pub use program::{command, is_in_container, is_windows, is_wine, own_ip, python, relay, without_signals};
#[cfg(target_os = "linux")]
pub use program::{file, is_linux_process, is_native};
pub use server::{Relay, addresses, announced};
pub use socket::{Socket, frame};
pub use tunnel::{Exposer, Forwarder, Service, echo, expose_command, free_ports, public_relay, service};

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// How many times longer than usual things may take: `RELAY_TEST_PATIENCE`, for slow emulators.
pub fn patience() -> u32 {
    std::env::var("RELAY_TEST_PATIENCE").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

/// So many milliseconds, as many times longer as everything may take: for a limit of the relay within which honest programs have to be.
pub fn scaled(ms: u64) -> Duration {
    Duration::from_millis(ms) * patience()
}

/// A time as the options of the program have it.
pub fn option(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

/// Measures two to five times, as the deadline allows, for limits that cannot grow with the patience: no result may be below `least`, which
/// a busy machine cannot cause, and one may not be above `most`, since a busy machine is not busy all the time.
pub fn measured(least: Duration, most: Duration, mut measure: impl FnMut() -> Duration) {
    let (mut seen, since) = (Vec::new(), Instant::now());
    while seen.len() < 2 || (seen.len() < 5 && since.elapsed() < *DEADLINE) {
        let took = measure();
        assert!(took >= least, "{took:?} is less than {least:?}");
        if took <= most {
            return;
        }
        seen.push(took);
    }
    panic!("{seen:?} are all more than {most:?}");
}

/// For a test that this machine or the runner of the program cannot run: says so, and adds a line to the file that
/// `RELAY_TEST_NOT_RUN` names, so that whoever runs the suite does not take it for passed.
pub fn not_run(why: &str) {
    use std::io::Write;
    println!("not run: {why}");
    let Some(list) = std::env::var_os("RELAY_TEST_NOT_RUN") else { return };
    let thread = std::thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("?"));
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(list).unwrap();
    // In one piece: other tests do the same at this moment.
    file.write_all(line.as_bytes()).unwrap();
}

/// `n` bytes in which every position can be told from its neighbours.
pub fn pattern(n: usize) -> Vec<u8> {
    (0..n as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// How long any single event may take, in seconds: `RELAY_TEST_DEADLINE`, for a test that runs others which are to fail.
fn deadline_seconds() -> u64 {
    std::env::var("RELAY_TEST_DEADLINE").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(20)
}

/// How long any single event may take.
pub static DEADLINE: LazyLock<Duration> =
    LazyLock::new(|| Duration::from_secs(deadline_seconds()) * patience());
