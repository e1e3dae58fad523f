//! One raw message of two gibibytes.

use std::{
    io::{Read, Write},
    thread,
};

use anyhow::{Result, ensure};

use super::Bench;
use crate::{
    crowd::fresh_prefix,
    protocol::Protocol,
    results::{Better, Bound, RELAY, Row},
    unit::Unit,
};

const MESSAGE_BYTES: u64 = 2 << 30;
const BLOCK_BYTES: usize = 1 << 20;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let server = bench.start(Protocol::Relay)?;
    let prefix = fresh_prefix();
    let mut receiver = server.protocol.register(server.address, &prefix)?;
    let mut sender = server.protocol.register(server.address, &format!("{prefix}s"))?;
    // A prime period, so that a lost or repeated piece of any usual size is seen.
    let block: Vec<u8> = (0..BLOCK_BYTES).map(|at| (at % 251) as u8).collect();
    let before = server.resident()?;
    thread::scope(|scope| -> Result<()> {
        let sending = scope.spawn(|| -> Result<()> {
            sender.write_all(format!("{prefix}|{MESSAGE_BYTES}|").as_bytes())?;
            for _ in 0..MESSAGE_BYTES / BLOCK_BYTES as u64 {
                sender.write_all(&block)?;
            }
            Ok(())
        });
        let mut buffer = vec![0; BLOCK_BYTES];
        for number in 0..MESSAGE_BYTES / BLOCK_BYTES as u64 {
            receiver.read_exact(&mut buffer)?;
            ensure!(buffer == block, "the message differs in its block {number}");
        }
        sending.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the sender failed")))
    })?;
    let more = server.resident_peak()?.saturating_sub(before);
    // That it came whole was seen on the way.
    let row = Row::new("a 2 GiB message, raw, arrives whole: more memory", Unit::Bytes, Better::Lower);
    bench.add(row.figure(RELAY, &[more as f64]).bound(Bound::AtMost(16.0 * 1024.0 * 1024.0)));
    Ok(())
}
