//! How long a message and its answer take.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Instant,
};

use anyhow::Result;

use super::{Bench, clients::fresh_prefix};
use crate::{server::Server, stats::percentile, table::Bound};

const SIZE: usize = 64;
const EXCHANGES: usize = 20_000;
/// The first exchanges warm the sockets up.
const UNCOUNTED: usize = 500;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let figures = bench.in_turn(|server, _| through(server))?;
    for (n, (name, bound)) in
        [("p50", Bound::AtMost(0.6)), ("p99", Bound::AtMost(0.6)), ("p99.9", Bound::None)]
            .into_iter()
            .enumerate()
    {
        let peer = figures.get(1).map(|peer| peer[n]);
        let measure = format!("round trip of two clients, {SIZE} B, {name}");
        bench.compare(measure, (figures[0][n], peer), |us| format!("{us:.0} us"), bound);
    }
    let [p50, p99, _] = bare_echo()?;
    println!("  (a bare loopback echo: p50 {p50:.0} us, p99 {p99:.0} us)");
    Ok(())
}

fn through(server: &Server) -> Result<[f64; 3]> {
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
    exchange(asking, &question, answered)
}

/// The machine's own share: two sockets and nothing in between.
fn bare_echo() -> Result<[f64; 3]> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let asking = TcpStream::connect(listener.local_addr()?)?;
    asking.set_nodelay(true)?;
    let (mut answering, _) = listener.accept()?;
    answering.set_nodelay(true)?;
    thread::spawn(move || {
        let mut buffer = [0; SIZE];
        while answering.read_exact(&mut buffer).is_ok() && answering.write_all(&buffer).is_ok() {}
    });
    exchange(asking, &[1; SIZE], SIZE)
}

/// Microseconds: p50, p99, p99.9.
fn exchange(mut stream: TcpStream, question: &[u8], answered: usize) -> Result<[f64; 3]> {
    let mut times = Vec::with_capacity(EXCHANGES);
    let mut buffer = vec![0; answered];
    for n in 0..UNCOUNTED + EXCHANGES {
        let start = Instant::now();
        stream.write_all(question)?;
        stream.read_exact(&mut buffer)?;
        if n >= UNCOUNTED {
            times.push(start.elapsed().as_nanos() as u64);
        }
    }
    times.sort_unstable();
    Ok([0.5, 0.99, 0.999].map(|share| percentile(&times, share) as f64 / 1000.0))
}
