//! From an accepted connection to what it asks for: the one phase in which a connection has a timer of its own.

use std::{io, net::SocketAddr};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    Shared, auth,
    policy::Identity,
    refusal::{Refusal, refuse},
};
use crate::wire::{BadHello, CONTROL_BYTES_MAX, FirstBytes, Hello, Name, parse_header, parse_registration};

/// Bytes read at once before a client is known: a registration and a first message.
const READ_BYTES: usize = 1024;

/// A connection that has said what it wants.
#[derive(Debug)]
pub(super) struct Greeted {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) request: Request,
    pub(super) identity: Identity,
    /// What was received behind the request.
    pub(super) rest: Vec<u8>,
}

/// What a connection asks for in its first bytes.
#[derive(Debug)]
pub(super) enum Request {
    /// Version 1: to be reached by messages under a name.
    Name(Name),
    /// Version 2.
    Hello(Hello),
}

/// Learns what the client wants, or says to it and to the log why it is not let in.
pub(super) async fn greet(shared: &Shared, stream: TcpStream, address: SocketAddr) -> Option<Greeted> {
    let mut received = Vec::new();
    match read_proved(shared, &stream, &mut received).await {
        Ok((request, identity, rest)) => Some(Greeted { stream, address, request, identity, rest }),
        Err(refusal) => {
            let speaks_version_2 = received.first() == Some(&b'|');
            refuse(shared, refusal, Some(stream), address, speaks_version_2).await;
            None
        }
    }
}

/// Reads the request and has the client prove who makes it; also gives what was received behind both.
async fn read_proved(
    shared: &Shared,
    stream: &TcpStream,
    received: &mut Vec<u8>,
) -> Result<(Request, Identity, Vec<u8>), Refusal> {
    let deadline = Instant::now() + shared.config.register_timeout;
    let first = timeout_at(deadline, read_first(stream, received)).await;
    let (first, end) = first.unwrap_or(Err(Refusal::Late))?;
    let mut rest = received.split_off(end);
    let policy = shared.policy();
    match first {
        First::Hello { json, hello } => {
            // What the hello asks for is nobody's business who cannot prove a token.
            let identity = auth::identify(stream, &policy, &received[json..], &mut rest, deadline).await?;
            Ok((Request::Hello(hello.map_err(Refusal::Hello)?), identity, rest))
        }
        First::Name(name) if policy.lets_in(&Identity::Version1) => {
            Ok((Request::Name(name), Identity::Version1, rest))
        }
        First::Name(_) => Err(Refusal::Version1),
    }
}

/// The first thing a client sends.
enum First {
    /// Version 1's registration.
    Name(Name),
    /// A JSON object, which starts at `json`, and what it asks for.
    Hello { json: usize, hello: Result<Hello, BadHello> },
}

/// Reads until the first thing is complete, and says where it ends.
async fn read_first(stream: &TcpStream, received: &mut Vec<u8>) -> Result<(First, usize), Refusal> {
    loop {
        if let Some(first) = parse_first(received)? {
            return Ok(first);
        }
        read_more(stream, received).await.map_err(Refusal::Gone)?;
    }
}

/// Waits for more bytes and adds what there is; the end of the connection is an error.
pub(super) async fn read_more(stream: &TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    stream.readable().await?;
    let mut buffer = [0; READ_BYTES];
    match stream.try_read(&mut buffer) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(n) => received.extend_from_slice(&buffer[..n]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The first thing in `received` and where it ends, if it is complete.
fn parse_first(received: &[u8]) -> Result<Option<(First, usize)>, Refusal> {
    let Some(spoken) = FirstBytes::recognize(received) else { return Ok(None) };
    match spoken {
        FirstBytes::Tls => Err(Refusal::Tls),
        FirstBytes::Http => Err(Refusal::Http),
        FirstBytes::Version1 => {
            let Some(name) = parse_registration(received).map_err(Refusal::Name)? else { return Ok(None) };
            let end = name.len() + 1;
            Ok(Some((First::Name(Name::new(name).map_err(Refusal::Name)?), end)))
        }
        FirstBytes::Version2 => parse_hello(received),
    }
}

fn parse_hello(received: &[u8]) -> Result<Option<(First, usize)>, Refusal> {
    let Some(header) = parse_header(received).map_err(Refusal::Header)? else { return Ok(None) };
    if header.length > CONTROL_BYTES_MAX {
        return Err(Refusal::TooLong(header.length));
    }
    let (start, end) = (header.header_bytes, header.header_bytes + header.length as usize);
    let Some(json) = received.get(start..end) else { return Ok(None) };
    match Hello::parse(json) {
        // No hello at all, so there is nothing to be proved about it.
        Err(error @ BadHello::Object(_)) => Err(Refusal::Hello(error)),
        hello => Ok(Some((First::Hello { json: start, hello }, end))),
    }
}
