//! The program under test and the interpreters beside it.

use std::{
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Command,
};

use super::DEADLINE;

/// The file that is being tested.
pub fn file() -> PathBuf {
    std::env::var_os("RELAY_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_relay")), PathBuf::from)
}

/// Whether the program under test is one for Windows (perhaps under wine on another system): it has no signals, for one.
pub fn is_windows() -> bool {
    file().extension() == Some(OsStr::new("exe"))
}

/// Why the program cannot be tested with signals, if it cannot.
pub fn without_signals() -> Option<&'static str> {
    let runner = std::env::var("RELAY_RUNNER").unwrap_or_default();
    if is_windows() {
        Some("Windows has no signals")
    } else if runner.contains("qemu-i386") {
        // After `rt_sigreturn` the segment register %gs is loaded from a table that all threads share (seen in 7.2).
        Some("qemu-i386 gives a thread the storage of another one after a signal")
    } else {
        None
    }
}

/// Whether the program runs under wine, which is not Windows in everything: its sockets do not show every failure.
pub fn is_wine() -> bool {
    let runner = std::env::var("RELAY_RUNNER").unwrap_or_default();
    let name = runner.split_whitespace().next().and_then(|word| word.rsplit('/').next());
    name.is_some_and(|name| name.starts_with("wine"))
}

/// Whether relays run in containers, behind published ports: their own addresses are others there, and they get only the signals that the
/// engine passes on.
pub fn is_in_container() -> bool {
    std::env::var("RELAY_RUNNER").is_ok_and(|runner| runner.split_whitespace().nth(1) == Some("in-container"))
}

/// The address that a relay sees clients of this machine come from.
pub fn own_ip() -> IpAddr {
    let gateway = std::env::var("RELAY_IMAGE_GATEWAY").ok().filter(|_| is_in_container());
    gateway.map_or(Ipv4Addr::LOCALHOST.into(), |gateway| gateway.parse().expect("the gateway is an address"))
}

/// Whether what is spawned is a process of this Linux with descriptors, sockets, limits and namespaces of its own, if perhaps that of an
/// emulator which runs the program.
#[cfg(target_os = "linux")]
pub fn is_linux_process() -> bool {
    !is_windows() && !is_in_container()
}

/// Whether the program runs on this Linux itself, so that its figures (memory, threads) are its own and not also its emulator's.
#[cfg(target_os = "linux")]
pub fn is_native() -> bool {
    !is_windows() && std::env::var_os("RELAY_RUNNER").is_none_or(|r| r.is_empty())
}

/// The program under test with `args`, behind its runner, to be spawned by the caller.
pub fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let runner = std::env::var("RELAY_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace();
    let mut command = match words.next() {
        Some(first) => {
            let mut command = Command::new(first);
            command.args(words).arg(file());
            command
        }
        None => Command::new(file()),
    };
    // What the person who runs the tests has set must not reach the program.
    for variable in ["RELAY_ADDR", "RELAY_TOKEN", "RELAY_OWNER", "RELAY_LOG"] {
        command.env_remove(variable);
    }
    command.args(args);
    command
}

/// The program under test with `args`, to be run to its end and judged; it is killed at the deadline.
pub fn relay<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::from_std(command(args));
    command.timeout(*DEADLINE);
    command
}

/// Python running `script`, a path below the repository's root, with `args`.
pub fn python<A: AsRef<OsStr>>(script: &str, args: impl IntoIterator<Item = A>) -> Command {
    let interpreter = if cfg!(windows) { "python" } else { "python3" };
    let mut command = Command::new(std::env::var_os("RELAY_PYTHON").unwrap_or_else(|| interpreter.into()));
    command.arg("-u").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)).args(args);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env_remove("RELAY_TOKEN").env_remove("RELAY_OWNER");
    command
}
