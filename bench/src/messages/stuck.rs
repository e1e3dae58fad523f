//! Recipients that read nothing, each flooded, beside a pair that talks.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::Bench;
use crate::{
    crowd::fresh_prefix,
    protocol::Protocol,
    results::{Better, Bound, RELAY, Row},
    stats::percentile,
    unit::Unit,
};

const STUCK: usize = 20;
/// More than the write timeout of a relay with its defaults.
const CUT_DEADLINE: Duration = Duration::from_secs(30);
/// A write that takes so long was paused by a full recipient; its end means that the recipient was cut.
const PAUSED: Duration = Duration::from_secs(3);
/// Between two exchanges of the pair: conversation, not load.
const PAUSE: Duration = Duration::from_millis(2);

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let server = bench.start(Protocol::Relay)?;
    let (address, protocol, prefix) = (server.address, server.protocol, fresh_prefix());
    let before = server.resident()?;
    let stuck = (0..STUCK)
        .map(|n| protocol.register(address, &format!("{prefix}r{n}")))
        .collect::<Result<Vec<TcpStream>>>()?;
    let mut asking = protocol.register(address, &format!("{prefix}a"))?;
    let mut answering = protocol.register(address, &format!("{prefix}b"))?;
    let question = protocol.message(&format!("{prefix}b"), &[1; 64]);
    let answer = protocol.message(&format!("{prefix}a"), &[1; 64]);
    let give_up = AtomicBool::new(false);

    let (cut, mut times) = thread::scope(|scope| -> Result<_> {
        for n in 0..STUCK {
            let mut flooder = protocol.register(address, &format!("{prefix}f{n}"))?;
            let mut flood = Vec::new();
            while flood.len() < 256 << 10 {
                protocol.push_message(&mut flood, &format!("{prefix}r{n}"), &[b'f'; 1024]);
            }
            let give_up = &give_up;
            scope.spawn(move || {
                let mut paused = Duration::ZERO;
                while paused < PAUSED && !give_up.load(Relaxed) {
                    let start = Instant::now();
                    if flooder.write_all(&flood).is_err() {
                        return;
                    }
                    paused = start.elapsed();
                }
            });
        }
        let echo = scope.spawn(move || {
            let mut buffer = [0; 64];
            while answering.read_exact(&mut buffer).is_ok() && answering.write_all(&answer).is_ok() {}
        });
        let start = Instant::now();
        let mut times = Vec::new();
        let mut buffer = [0; 64];
        let mut cut = 0;
        while cut < STUCK && start.elapsed() < CUT_DEADLINE {
            let asked = Instant::now();
            asking.write_all(&question)?;
            asking.read_exact(&mut buffer)?;
            times.push(asked.elapsed().as_nanos() as u64);
            thread::sleep(PAUSE);
            if times.len() % 50 == 0 {
                cut = server.log().matches("it did not read what was sent to it").count();
            }
        }
        give_up.store(true, Relaxed);
        // The relay's end of the pair goes with the asking one's registration; the echo then has nothing to read.
        drop(asking);
        drop(stuck);
        let peak = server.resident_peak()?;
        drop(server);
        ensure!(echo.join().is_ok(), "the echo failed");
        Ok(((cut, peak), times))
    })?;
    let (cut, peak) = cut;
    times.sort_unstable();
    let more = peak.saturating_sub(before) as f64;
    let p99 = percentile(&times, 0.99) as f64 / 1e9;
    let what = format!("{STUCK} flooded recipients that read nothing");
    bench.add(
        Row::new(format!("{what}: more memory"), Unit::Bytes, Better::Lower)
            .figure(RELAY, &[more])
            .bound(Bound::AtMost(64.0 * 1024.0 * 1024.0)),
    );
    bench.add(
        Row::new("round trip of a live pair meanwhile, p99", Unit::Time, Better::Lower)
            .figure(RELAY, &[p99])
            .bound(Bound::AtMost(0.02)),
    );
    bench.add(
        Row::new("the flooded ones that are cut after the write deadline", Unit::Count, Better::Higher)
            .figure(RELAY, &[cut as f64])
            .bound(Bound::AtLeast(STUCK as f64)),
    );
    Ok(())
}
