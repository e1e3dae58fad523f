//! `cargo xtask bench`: the program and its peers do the same work in turn, in one run; tables and charts say what came of it.
//!
//! A *suite* (`messages`, `tunnel`, `scale`) is a list of *measures*, each in a file of its own. A measure adds *rows* to the suite's
//! *section*; a row keeps every single value. `saved` keeps the sections as JSON, and draws tables and charts from that.

#![cfg(target_os = "linux")]

mod chart;
mod command;
mod crowd;
mod hold;
mod load;
mod machine;
mod markdown;
mod messages;
mod peers;
mod process;
mod protocol;
mod results;
mod run;
mod saved;
mod scale;
mod stats;
mod syscalls;
mod tunnel;
mod unit;

pub use command::main;
use relay_task::{project, report};
