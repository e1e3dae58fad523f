//! The end-to-end suite: one file per promise. It is compiled for the machine that runs it and drives the program named by
//! `RELAY_BIN` (default: the one cargo just built) behind the runner in `RELAY_RUNNER` (such as `qemu-arm -cpu arm1176` or
//! `wine`), so the same tests pass judgement on the file of every platform.

// What fails in a helper fails the test, as it should; and a test program has no outside to which `pub` could reach.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod access;
mod bounds;
mod clients;
mod clients_connect;
mod clients_held;
mod clients_output;
mod clients_python;
#[cfg(unix)]
mod clients_terminal;
mod clients_transfer;
mod config_file;
#[cfg(target_os = "linux")]
mod dead_peer;
mod faults;
mod first_bytes;
mod harness;
mod lab_check;
mod lab_clients;
mod lab_docs;
mod lab_failures;
mod lab_files;
#[cfg(target_os = "linux")]
mod lab_link_local;
mod lab_network;
mod lab_servers;
#[cfg(unix)]
mod lab_terminal;
mod limits;
mod log_stalled;
#[cfg(target_os = "linux")]
mod lookup;
mod operations;
mod options;
mod overload;
mod owner;
#[cfg(unix)]
mod pauses;
mod reconnecting;
mod results;
mod stopping;
#[cfg(target_os = "linux")]
mod system;
mod test_client_python;
mod text_files;
mod tunnel;
#[cfg(target_os = "linux")]
mod tunnel_crowd;
#[cfg(target_os = "linux")]
mod tunnel_cut;
mod tunnel_docs;
mod tunnel_faults;
mod tunnel_file;
#[cfg(unix)]
mod tunnel_frozen;
mod tunnel_killed;
mod tunnel_options;
#[cfg(target_os = "linux")]
mod tunnel_pool;
#[cfg(unix)]
mod tunnel_postgres;
mod tunnel_reconnect;
#[cfg(target_os = "linux")]
mod tunnel_scarce;
mod tunnel_services;
#[cfg(target_os = "linux")]
mod tunnel_spliceless;
mod tunnel_standard;
mod tunnel_stream;
mod tunnel_wire;
mod wire_v1;
mod wire_v2;
