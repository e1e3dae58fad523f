//! One name that is lost and exposed again, thousands of times: nothing of it may stay behind.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Bench;
use crate::{
    peers::{LOOPBACK, relay::server},
    process::Process,
    results::{Better, Bound, RELAY, Row},
    unit::{Unit, grouped},
};

const RECONNECTS: usize = 10_000;
/// Until the relay's tables, and its allocator, have the size they will have: what is left of the first thousands is not a leak but
/// a heap that settles.
const WARM_UP: usize = 10_000;
/// What a settled heap may still move by. The least that could leak, a task or a socket for every lost link, is ten times as much.
const SLACK_BYTES: u64 = 256 << 10;
/// How long the relay may take to let go of the last connections: its drain timeout and a bit.
const SETTLE: Duration = Duration::from_secs(8);
const DEADLINE: Duration = Duration::from_secs(10);

/// Shows every connection as the owner's, so that a link that is lost without a word is no obstacle.
const OWNER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// What can be counted from outside.
#[derive(Debug, Clone, Copy)]
struct Footprint {
    memory: u64,
    threads: u64,
    descriptors: u64,
}

impl Footprint {
    fn of(relay: &Process) -> Result<Self> {
        let (memory, threads, descriptors) = (relay.resident()?, relay.threads()?, relay.descriptors()?);
        Ok(Self { memory, threads, descriptors })
    }
}

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let (relay, address) = server(&bench.peers.relay, LOOPBACK, &[])?;
    let mut silent = Vec::new();
    reconnect(address, bench.run.operations(WARM_UP), &mut silent)?;
    silent.clear();
    let before = settled(&relay)?;
    let reconnects = bench.run.operations(RECONNECTS);
    reconnect(address, reconnects, &mut silent)?;
    silent.clear();
    let after = settled(&relay)?;
    let what = format!("{} reconnects of one name, half by a lost link", grouped(reconnects as f64));
    let more = |after: u64, before: u64| [after.saturating_sub(before) as f64];
    let row = |name: &str, unit| Row::new(format!("{what}: more {name}"), unit, Better::Lower);
    let rows = [
        row("memory", Unit::Bytes)
            .figure(RELAY, &more(after.memory, before.memory))
            .bound(Bound::AtMost(SLACK_BYTES as f64)),
        row("descriptors", Unit::Count)
            .figure(RELAY, &more(after.descriptors, before.descriptors))
            .bound(Bound::AtMost(0.0)),
        row("threads", Unit::Count)
            .figure(RELAY, &more(after.threads, before.threads))
            .bound(Bound::AtMost(0.0)),
    ];
    rows.into_iter().for_each(|row| bench.section.add(row));
    Ok(())
}

/// Exposes the name over and over, each time with a parked connection and a stream that is carried. Every second session ends in order,
/// every fourth by a reset, and every fourth falls silent: its connections stay open here, as they would behind a cut cable.
fn reconnect(address: SocketAddr, times: usize, silent: &mut Vec<TcpStream>) -> Result<()> {
    for n in 0..times {
        let mut control = ask(address, &format!(r#"{{"hello":2,"expose":"bench","owner":"{OWNER}"}}"#))?;
        let exposed = frame(&mut control)?;
        let key = exposed["key"].as_str().with_context(|| format!("not exposed: {exposed}"))?;
        let mut parked = ask(address, &format!(r#"{{"hello":2,"park":"bench","key":"{key}"}}"#))?;
        let mut visitor = ask(address, r#"{"hello":2,"open":"bench"}"#)?;
        ensure!(frame(&mut visitor)?["opened"] == "bench", "no stream was opened");
        ensure!(frame(&mut parked)?["stream"].is_object(), "the stream did not come");
        visitor.write_all(b"?")?;
        parked.read_exact(&mut [0])?;
        match n % 4 {
            1 => [control, parked].iter().try_for_each(reset)?,
            3 => {
                silent.push(control);
                // The relay resets these when it has had enough of the old session; more than a few would only fill this process.
                if silent.len() > 100 {
                    silent.clear();
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is left when the relay has let go of everything that has ended.
fn settled(relay: &Process) -> Result<Footprint> {
    let deadline = Instant::now() + SETTLE;
    let mut least = Footprint::of(relay)?;
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        let now = Footprint::of(relay)?;
        least.memory = now.memory;
        least.threads = least.threads.min(now.threads);
        least.descriptors = least.descriptors.min(now.descriptors);
    }
    Ok(least)
}

/// Says hello on a new connection.
fn ask(address: SocketAddr, hello: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(format!("|{}|{hello}", hello.len()).as_bytes())?;
    Ok(stream)
}

/// The next control frame that is not a question for more connections.
fn frame(stream: &mut TcpStream) -> Result<Value> {
    let mut header = Vec::new();
    while header.len() < 2 || header.last() != Some(&b'|') {
        let mut byte = [0];
        stream.read_exact(&mut byte).context("the relay ended a connection")?;
        header.push(byte[0]);
    }
    let Ok(length) = std::str::from_utf8(&header[1..header.len() - 1])?.parse() else {
        bail!("not a control frame: {}", header.escape_ascii());
    };
    let mut json = vec![0; length];
    stream.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// Ends a connection as a crash does.
fn reset(stream: &TcpStream) -> Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?)
}
