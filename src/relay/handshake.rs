//! From an accepted connection to what it asks for: the one phase in which a connection has a timer of its own.

use std::{io, net::SocketAddr};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    Shared, auth,
    config::Delivery,
    peer::Framing,
    policy::Identity,
    refusal::{Refusal, refuse},
    services::Expose,
};
use crate::wire::{
    CONTROL_BYTES_MAX, FirstBytes, Hello, Name, OwnerKey, PROTOCOL_VERSION, parse_header, parse_registration,
};

/// Bytes read at once before a client is known: a registration and a first message.
const READ_BYTES: usize = 1024;

/// A connection that has said what it wants.
#[derive(Debug)]
pub(super) struct Greeted {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) request: Request,
    pub(super) identity: Identity,
    /// What makes the client the owner of the names it asks for.
    pub(super) owner: Option<Box<OwnerKey>>,
    /// Its name is asked for only if nobody has it, not even the same owner.
    pub(super) if_free: bool,
    /// What was received behind the request.
    pub(super) rest: Vec<u8>,
}

/// What a connection asks for in its first bytes.
#[derive(Debug)]
pub(super) enum Request {
    /// To be reached by messages under a name.
    Register { name: Name, framing: Framing },
    /// To have a service reached under a name.
    Expose(Expose),
    /// To carry a stream of the service that has the key.
    Park { name: Name, key: String },
    /// A stream to a service.
    Open { name: Name },
}

/// Learns what the client wants, or says to it and to the log why it is not let in.
pub(super) async fn greet(shared: &Shared, stream: TcpStream, address: SocketAddr) -> Option<Greeted> {
    let mut received = Vec::new();
    match read_proved(shared, &stream, &mut received).await {
        Ok((Parsed { request, owner, if_free, .. }, identity, rest)) => {
            Some(Greeted { stream, address, request, identity, owner, if_free, rest })
        }
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
) -> Result<(Parsed, Identity, Vec<u8>), Refusal> {
    let deadline = Instant::now() + shared.config.register_timeout;
    let request = timeout_at(deadline, read_request(stream, shared, received)).await;
    let parsed = request.unwrap_or(Err(Refusal::Late))?;
    let mut rest = received.split_off(parsed.end);
    let policy = shared.policy();
    let identity = match parsed.json {
        Some(start) => auth::identify(stream, &policy, &received[start..], &mut rest, deadline).await?,
        None if policy.lets_in(&Identity::Version1) => Identity::Version1,
        None => return Err(Refusal::Version1),
    };
    Ok((parsed, identity, rest))
}

/// A request and where it stands in what was received.
struct Parsed {
    request: Request,
    /// Where the JSON of the hello starts; version 1 has none.
    json: Option<usize>,
    end: usize,
    owner: Option<Box<OwnerKey>>,
    if_free: bool,
}

/// Reads until the request is complete.
async fn read_request(
    stream: &TcpStream,
    shared: &Shared,
    received: &mut Vec<u8>,
) -> Result<Parsed, Refusal> {
    loop {
        if let Some(request) = parse_request(received, shared.config.delivery)? {
            return Ok(request);
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

/// The request at the start of `received`, if it is complete.
fn parse_request(received: &[u8], delivery: Delivery) -> Result<Option<Parsed>, Refusal> {
    let Some(first) = FirstBytes::recognize(received) else { return Ok(None) };
    match first {
        FirstBytes::Tls => Err(Refusal::Tls),
        FirstBytes::Http => Err(Refusal::Http),
        FirstBytes::Version1 => parse_version_1(received, delivery),
        FirstBytes::Version2 => parse_version_2(received),
    }
}

fn parse_version_1(received: &[u8], delivery: Delivery) -> Result<Option<Parsed>, Refusal> {
    let Some(name) = parse_registration(received).map_err(Refusal::Name)? else { return Ok(None) };
    let framing = match delivery {
        Delivery::Raw => Framing::Raw,
        Delivery::Framed => Framing::Framed,
    };
    let request = Request::Register { name: Name::new(name).map_err(Refusal::Name)?, framing };
    Ok(Some(Parsed { request, json: None, end: name.len() + 1, owner: None, if_free: false }))
}

fn parse_version_2(received: &[u8]) -> Result<Option<Parsed>, Refusal> {
    let Some(header) = parse_header(received).map_err(Refusal::Header)? else { return Ok(None) };
    if header.length > CONTROL_BYTES_MAX {
        return Err(Refusal::TooLong(header.length));
    }
    let (start, end) = (header.header_bytes, header.header_bytes + header.length as usize);
    let Some(json) = received.get(start..end) else { return Ok(None) };
    let hello: Hello = serde_json::from_slice(json).map_err(Refusal::Json)?;
    if hello.hello != PROTOCOL_VERSION {
        return Err(Refusal::Version(hello.hello));
    }
    let key = |text: &String| OwnerKey::from_hex(text).map(Box::new).ok_or(Refusal::BadOwner);
    let owner = hello.owner.as_ref().map(key).transpose()?;
    let if_free = hello.if_free;
    Ok(Some(Parsed { request: request(hello)?, json: Some(start), end, owner, if_free }))
}

/// What a hello asks for: exactly one thing.
fn request(hello: Hello) -> Result<Request, Refusal> {
    let named = |name: String| Name::new(name.as_bytes()).map_err(Refusal::Name);
    Ok(match (hello.register, hello.expose, hello.park, hello.open) {
        (Some(name), None, None, None) => Request::Register { name: named(name)?, framing: Framing::Session },
        (None, Some(name), None, None) => Request::Expose(Expose { name: named(name)?, port: hello.port }),
        (None, None, Some(name), None) => {
            Request::Park { name: named(name)?, key: hello.key.unwrap_or_default() }
        }
        (None, None, None, Some(name)) => Request::Open { name: named(name)? },
        (None, None, None, None) => return Err(Refusal::NoRequest),
        _ => return Err(Refusal::ManyRequests),
    })
}
