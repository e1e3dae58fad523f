//! The end-to-end suite: one file per promise. It is compiled for the machine that runs it and drives the program named by
//! `RELAY_BIN` (default: the one cargo just built) behind the runner in `RELAY_RUNNER` (such as `qemu-arm -cpu arm1176` or
//! `wine`), so the same tests pass judgement on the file of every platform.

mod harness;
mod operations;
mod wire_v1;
mod wire_v2;
