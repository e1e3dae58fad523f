//! The end-to-end suite: one file per promise. It is compiled for the machine that runs it and drives the program named by
//! `RELAY_BIN` (default: the one cargo just built) behind the runner in `RELAY_RUNNER` (such as `qemu-arm -cpu arm1176` or
//! `wine`), so the same tests pass judgement on the file of every platform.

// What fails in a helper fails the test, as it should; and a test program has no outside to which `pub` could reach.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod clients;
mod clients_python;
#[cfg(target_os = "linux")]
mod dead_peer;
mod faults;
mod harness;
mod lab_check;
mod lab_clients;
mod lab_failures;
mod lab_files;
mod lab_network;
mod lab_servers;
#[cfg(unix)]
mod lab_terminal;
mod operations;
mod options;
mod overload;
mod stopping;
#[cfg(target_os = "linux")]
mod system;
mod test_client_python;
mod wire_v1;
mod wire_v2;
