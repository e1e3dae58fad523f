//! How large the program is, on disk and at rest.

use std::{fs, thread, time::Duration};

use anyhow::Result;

use super::Bench;
use crate::{
    protocol::Protocol,
    results::{Better, Bound, RELAY, Row},
    unit::Unit,
};

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let bytes = fs::metadata(&bench.peers.relay)?.len() as f64;
    let row = |measure| Row::new(measure, Unit::Bytes, Better::Lower).bound(Bound::AtMost(2e6));
    bench.add(row("the stripped program").figure(RELAY, &[bytes]));
    let taken = bench.in_turn(&[Protocol::Nats, Protocol::Mqtt], 1, |server, _| {
        // What it needs to start is given back or is not: a moment decides.
        thread::sleep(Duration::from_millis(300));
        Ok([server.resident()? as f64])
    })?;
    bench.add(bench.fill(row("resident memory at start"), &taken, 0));
    Ok(())
}
