//! How large the program is, on disk and at rest.

use std::fs;

use anyhow::Result;

use super::Bench;
use crate::{protocol::Protocol, report::megabytes};

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let bytes = fs::metadata(&bench.relay)?.len();
    bench.absolute("the stripped program", megabytes(bytes), "under 2.0 MB", bytes < 2_000_000);
    let server = bench.start(Protocol::Relay)?;
    let resident = server.resident()?;
    bench.absolute("resident memory at start", megabytes(resident), "under 2 MB", resident < 2_000_000);
    Ok(())
}
