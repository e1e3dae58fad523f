//! How long a message and its answer take.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Instant,
};

use anyhow::Result;

use super::{Bench, Server};
use crate::{
    crowd::fresh_prefix,
    protocol::Protocol,
    results::{Better, Bound, Row},
    stats::percentile,
    unit::Unit,
};

const SIZE: usize = 64;
const EXCHANGES: usize = 8_000;
/// The first exchanges warm the sockets up.
const UNCOUNTED: usize = 500;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let exchanges = bench.run.operations(EXCHANGES);
    let rivals = [Protocol::Nats, Protocol::Mqtt];
    let taken =
        bench.in_turn(&rivals, bench.run.rounds(), |server, _| exchange_between(server, exchanges))?;
    for (n, name) in ["p50", "p99", "p99.9"].into_iter().enumerate() {
        let row =
            || Row::new(format!("round trip of two clients, {SIZE} B, {name}"), Unit::Time, Better::Lower);
        let bounded = row().against(&["NATS"]);
        let bounded = if n < 2 { bounded.bound(Bound::AtMostTimes(0.6)) } else { bounded };
        bench.add(bench.fill(bounded, &taken, n));
    }
    for (n, name) in ["p50", "p99"].into_iter().enumerate() {
        let row = Row::new(format!("the same, compared with Mosquitto, {name}"), Unit::Time, Better::Lower);
        let row = bench.fill(row.against(&["Mosquitto"]), &taken, n);
        if row.ratio().is_some() {
            bench.add(row);
        }
    }
    let [p50, p99, _] = bare_echo(exchanges)?;
    println!("  (a bare loopback echo: p50 {}, p99 {})", Unit::Time.show(p50), Unit::Time.show(p99));
    Ok(())
}

/// Seconds from a message to its answer between two clients: p50, p99, p99.9.
///
/// # Errors
/// A message does not arrive.
pub(crate) fn exchange_between(server: &Server, exchanges: usize) -> Result<[f64; 3]> {
    let protocol = server.protocol;
    let prefix = fresh_prefix();
    let (a, b) = (format!("{prefix}a"), format!("{prefix}b"));
    let asking = protocol.register(server.address, &a)?;
    let mut answering = protocol.register(server.address, &b)?;
    let (question, answer) = (protocol.message(&b, &[1; SIZE]), protocol.message(&a, &[2; SIZE]));
    let (asked, answered) = (protocol.delivered(&b, SIZE), protocol.delivered(&a, SIZE));
    thread::spawn(move || {
        let mut buffer = vec![0; asked];
        while answering.read_exact(&mut buffer).is_ok() && answering.write_all(&answer).is_ok() {}
    });
    exchange(asking, &question, answered, exchanges)
}

/// The machine's own share: two sockets and nothing in between.
fn bare_echo(exchanges: usize) -> Result<[f64; 3]> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let asking = TcpStream::connect(listener.local_addr()?)?;
    asking.set_nodelay(true)?;
    let (mut answering, _) = listener.accept()?;
    answering.set_nodelay(true)?;
    thread::spawn(move || {
        let mut buffer = [0; SIZE];
        while answering.read_exact(&mut buffer).is_ok() && answering.write_all(&buffer).is_ok() {}
    });
    exchange(asking, &[1; SIZE], SIZE, exchanges)
}

/// Seconds: p50, p99, p99.9.
fn exchange(mut stream: TcpStream, question: &[u8], answered: usize, exchanges: usize) -> Result<[f64; 3]> {
    let mut times = Vec::with_capacity(exchanges);
    let mut buffer = vec![0; answered];
    for n in 0..UNCOUNTED + exchanges {
        let start = Instant::now();
        stream.write_all(question)?;
        stream.read_exact(&mut buffer)?;
        if n >= UNCOUNTED {
            times.push(start.elapsed().as_nanos() as u64);
        }
    }
    times.sort_unstable();
    Ok([0.5, 0.99, 0.999].map(|share| percentile(&times, share) as f64 / 1e9))
}
