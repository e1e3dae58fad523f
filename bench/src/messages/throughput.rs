//! Messages a second: pairs, and everyone to everyone.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{Bench, Server};
use crate::{
    crowd::fresh_prefix,
    protocol::Protocol,
    results::{Better, Bound, Row},
    syscalls::Counter,
    unit::Unit,
};

/// What a sender gives to the system at once, and a receiver takes: the clients are not to be the bottleneck.
const CHUNK_BYTES: usize = 256 << 10;

/// Until the flow is steady.
const WARM_UP: Duration = Duration::from_millis(300);

/// Rounds in which system calls are counted, which takes time of its own.
const COUNTED_ROUNDS: u32 = 3;

/// How long the last messages may be on their way.
const ARRIVAL_DEADLINE: Duration = Duration::from_secs(30);

/// Who sends to whom.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Sender n to receiver n.
    Pairs,
    /// Every sender to all receivers in turn.
    AllToAll,
}

/// A flow, and how long it is measured.
#[derive(Clone, Copy)]
struct Flow<'a> {
    shape: Shape,
    pairs: usize,
    size: usize,
    seconds: f64,
    counter: Option<&'a Counter>,
}

pub(super) fn pairs(bench: &mut Bench<'_>) -> Result<()> {
    for (size, times) in [(16, 10.0), (64, 6.0), (1024, 2.0), (16 << 10, 1.3)] {
        compare(bench, Shape::Pairs, 4, size, times)?;
    }
    Ok(())
}

pub(super) fn all_to_all(bench: &mut Bench<'_>) -> Result<()> {
    for (size, times) in [(64, 6.0), (1024, 1.7)] {
        compare(bench, Shape::AllToAll, 32, size, times)?;
    }
    Ok(())
}

fn compare(bench: &mut Bench<'_>, shape: Shape, pairs: usize, size: usize, times: f64) -> Result<()> {
    if !(bench.sizes.is_empty() || bench.sizes.contains(&size)) {
        return Ok(());
    }
    let seconds = bench.run.seconds();
    let taken = bench.in_turn(&[Protocol::Nats], bench.run.rounds(), |server, round| {
        let counter = (round < COUNTED_ROUNDS).then_some(&bench.counter);
        flow(server, Flow { shape, pairs, size, seconds, counter })
    })?;
    let what = match shape {
        Shape::Pairs => format!("{pairs} pairs, {size} B"),
        Shape::AllToAll => format!("{pairs} clients, each to all, {size} B"),
    };
    let rows = [
        Row::new(format!("messages/s, {what}"), Unit::Rate, Better::Higher).bound(Bound::AtLeastTimes(times)),
        Row::new(format!("server CPU per message, {what}"), Unit::Time, Better::Lower),
        Row::new(format!("server system calls per message, {what}"), Unit::Count, Better::Lower),
    ];
    for (n, row) in rows.into_iter().enumerate() {
        bench.add(bench.fill(row.against(&["NATS"]), &taken, n));
    }
    Ok(())
}

/// Messages a second between four pairs.
///
/// # Errors
/// A message does not arrive.
pub(crate) fn pair_rate(server: &Server, size: usize, seconds: f64) -> Result<f64> {
    let [rate, ..] = flow(server, Flow { shape: Shape::Pairs, pairs: 4, size, seconds, counter: None })?;
    Ok(rate)
}

/// Lets messages flow, and gives messages a second, and the server's processor time (seconds) and system calls a message, which are no
/// numbers where they are not counted. Every message that was sent has to arrive.
fn flow(server: &Server, flow: Flow<'_>) -> Result<[f64; 3]> {
    let Flow { shape, pairs, size, seconds, counter } = flow;
    let protocol = server.protocol;
    let prefix = fresh_prefix();
    let names: Vec<String> = (0..pairs).map(|n| format!("{prefix}{n:02}")).collect();
    let receivers =
        names.iter().map(|name| protocol.register(server.address, name)).collect::<Result<Vec<_>>>()?;
    let senders = (0..pairs)
        .map(|n| protocol.register(server.address, &format!("{prefix}s{n:02}")))
        .collect::<Result<Vec<_>>>()?;
    let delivered = protocol.delivered(&names[0], size) as u64;
    let (arrived, sent, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    // Nobody leaves before everything has arrived: a server need not deliver what a client that is gone has sent.
    let ends: Vec<TcpStream> =
        receivers.iter().chain(&senders).map(TcpStream::try_clone).collect::<Result<_, _>>()?;

    thread::scope(|scope| {
        for receiver in receivers {
            scope.spawn(|| count(receiver, &arrived));
        }
        for (n, sender) in senders.into_iter().enumerate() {
            let (names, sent, stop) = (&names, &sent, &stop);
            scope.spawn(move || {
                let mut chunk = Vec::new();
                let mut messages = 0;
                // Whole turns of all receivers, so that every chunk is the same.
                while chunk.len() < CHUNK_BYTES || (shape == Shape::AllToAll && messages % pairs != 0) {
                    let to = if shape == Shape::Pairs { n } else { (n + messages) % pairs };
                    protocol.push_message(&mut chunk, &names[to], &vec![b'x'; size]);
                    messages += 1;
                }
                send(sender, &chunk, messages as u64, sent, stop);
            });
        }
        thread::sleep(WARM_UP);
        let before = (Instant::now(), arrived.load(Relaxed), server.cpu());
        thread::sleep(Duration::from_secs_f64(seconds));
        let after = (before.0.elapsed(), arrived.load(Relaxed), server.cpu());
        let messages = || arrived.load(Relaxed) as f64 / delivered as f64;
        let calls = counter.map_or(Ok(f64::NAN), |counter| counter.per_unit(&[server.id()], messages));
        stop.store(true, Relaxed);
        let whole = all_arrived(&arrived, &sent, delivered);
        for end in &ends {
            let _ = end.shutdown(Shutdown::Both);
        }
        whole?;
        let messages = (after.1 - before.1) as f64 / delivered as f64;
        let cpu = (after.2? - before.2?) as f64 / 1e9;
        Ok([messages / after.0.as_secs_f64(), cpu / messages, calls?])
    })
}

/// Waits until everything that was sent has arrived.
fn all_arrived(arrived: &AtomicU64, sent: &AtomicU64, delivered: u64) -> Result<()> {
    let deadline = Instant::now() + ARRIVAL_DEADLINE;
    let mut steady = 0;
    // A sender may be inside its last chunk: the count is final when it has not changed for a while and fits.
    while steady < 5 {
        thread::sleep(Duration::from_millis(20));
        // A NATS server adds a PING of its own now and then.
        let is_whole = arrived.load(Relaxed) >= sent.load(Relaxed) * delivered;
        steady = if is_whole { steady + 1 } else { 0 };
        ensure!(
            Instant::now() < deadline,
            "{} messages were sent and {} bytes of {delivered} each arrived",
            sent.load(Relaxed),
            arrived.load(Relaxed)
        );
    }
    Ok(())
}

fn count(mut receiver: TcpStream, arrived: &AtomicU64) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(n @ 1..) = receiver.read(&mut buffer) {
        arrived.fetch_add(n as u64, Relaxed);
    }
}

fn send(mut sender: TcpStream, chunk: &[u8], messages: u64, sent: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        if sender.write_all(chunk).is_err() {
            return;
        }
        sent.fetch_add(messages, Relaxed);
    }
}
