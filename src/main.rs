//! The program: arguments in, a sentence and an exit code out. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use tcp_relay::cli::{Cli, aside, unread};

/// What the program was built from, in the place and form in which auditing tools look for it (cargo-auditable's). The release
/// build provides the list.
#[cfg(auditable)]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,.dep-v0"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".dep-v0"))]
static DEPENDENCIES: [u8; include_bytes!(env!("RELAY_AUDITABLE")).len()] =
    *include_bytes!(env!("RELAY_AUDITABLE"));

fn main() -> ExitCode {
    // Linkers drop what nobody refers to.
    #[cfg(auditable)]
    std::hint::black_box(&DEPENDENCIES);
    let ended = match aside(Cli::try_parse) {
        Ok(command) => command.run().map(|()| ExitCode::SUCCESS),
        Err(error) => unread(&error),
    };
    ended.unwrap_or_else(|failure| failure.report())
}
