//! From an accepted connection to a registered client: the one phase in which a connection has a timer of its own.

use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tracing::{debug, warn};

use super::{
    Shared,
    config::Delivery,
    peer::{Framing, Peer},
    session::Session,
};
use crate::wire::{
    BadName, CONTROL_BYTES_MAX, ErrorCode, ErrorNotice, FromRelay, HeaderError, Hello, Name,
    PROTOCOL_VERSION, Registered, encode_control, parse_header, parse_registration,
};

/// Bytes read at once before a client is known: a registration and a first message.
const READ_BYTES: usize = 1024;

/// How long a refused version 2 client may take to read the reason.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// What a connection asks for in its first bytes.
struct Request {
    name: Name,
    framing: Framing,
    /// What was received behind the request.
    rest: Vec<u8>,
}

/// Why a connection is not let in.
#[derive(Debug)]
enum Refusal {
    Late,
    Name(BadName),
    Header(HeaderError),
    TooLong(u64),
    Json(serde_json::Error),
    Version(u32),
    NoRequest,
    Taken(Name),
    /// The client went away first.
    Gone(io::Error),
}

/// Registers the client, or says to it and to the log why not.
pub(super) async fn register(
    shared: &Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
) -> Option<Session> {
    let mut received = Vec::new();
    let request =
        match timeout(shared.config.register_timeout, read_request(&stream, shared, &mut received)).await {
            Ok(request) => request,
            Err(_) => Err(Refusal::Late),
        };
    let (refusal, stream) = match request {
        Ok(request) => match admit(shared, stream, address, request).await {
            Ok(session) => return Some(session),
            Err(refused) => refused,
        },
        Err(refusal) => (refusal, Some(stream)),
    };
    shared.counters.refused.fetch_add(1, Relaxed);
    let speaks_version_2 = received.first() == Some(&b'|');
    refuse(refusal, stream, address, speaks_version_2).await;
    None
}

async fn read_request(
    stream: &TcpStream,
    shared: &Shared,
    received: &mut Vec<u8>,
) -> Result<Request, Refusal> {
    loop {
        if let Some(request) = parse_request(received, shared.config.delivery)? {
            return Ok(request);
        }
        stream.readable().await.map_err(Refusal::Gone)?;
        let mut buffer = [0; READ_BYTES];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(Refusal::Gone(io::ErrorKind::UnexpectedEof.into())),
            Ok(n) => received.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Refusal::Gone(error)),
        }
    }
}

/// The request at the start of `received`, if it is complete.
fn parse_request(received: &[u8], delivery: Delivery) -> Result<Option<Request>, Refusal> {
    if received.first() != Some(&b'|') {
        let Some(name) = parse_registration(received).map_err(Refusal::Name)? else { return Ok(None) };
        let framing = match delivery {
            Delivery::Raw => Framing::Raw,
            Delivery::Framed => Framing::Framed,
        };
        let rest = received[name.len() + 1..].to_vec();
        return Ok(Some(Request { name: Name::new(name).map_err(Refusal::Name)?, framing, rest }));
    }
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
    let name = hello.register.ok_or(Refusal::NoRequest)?;
    let name = Name::new(name.as_bytes()).map_err(Refusal::Name)?;
    Ok(Some(Request { name, framing: Framing::Session, rest: received[end..].to_vec() }))
}

/// Takes the name for the client, and answers it if it speaks version 2.
async fn admit(
    shared: &Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    request: Request,
) -> Result<Session, (Refusal, Option<TcpStream>)> {
    // The waker of this very task: the session will be polled by it, and by nothing in between.
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let (reader, writer) = stream.into_split();
    let config = &shared.config;
    let now = shared.clock.now();
    let peer =
        Arc::new(Peer::new(request.name, address, request.framing, writer, waker, config.queue_bytes, now));
    if request.framing == Framing::Session {
        let mut answer = Vec::new();
        encode_control(
            &mut answer,
            &Registered {
                hello: PROTOCOL_VERSION,
                registered: String::from_utf8_lossy(peer.name().as_bytes()).into_owned(),
                max_message: config.message_bytes_max,
                idle_ms: u64::try_from(config.idle_timeout.as_millis()).unwrap_or(u64::MAX),
            },
        );
        // Queued before anyone can find the name, so that no message comes before it.
        peer.append(&answer);
    }
    if shared.registry.insert(&peer) {
        shared.counters.joined.fetch_add(1, Relaxed);
        return Ok(Session::new(Arc::clone(shared), peer, reader, request.rest));
    }
    let taken = Refusal::Taken(peer.name().clone());
    // Nobody else ever had the peer, so there is always a stream to refuse on.
    let stream = Arc::into_inner(peer).and_then(|peer| peer.into_stream().reunite(reader).ok());
    Err((taken, stream))
}

async fn refuse(refusal: Refusal, stream: Option<TcpStream>, address: SocketAddr, speaks_version_2: bool) {
    if let Refusal::Gone(error) = refusal {
        debug!(%address, %error, "left before registering");
        return;
    }
    warn!(%address, reason = %refusal, "refused");
    if let (Some(mut stream), true) = (stream, speaks_version_2) {
        let mut answer = Vec::new();
        let message = refusal.to_string();
        encode_control(&mut answer, &FromRelay::Error(ErrorNotice { code: refusal.code(), message }));
        let farewell = async {
            stream.write_all(&answer).await?;
            stream.shutdown().await?;
            // Closing with unread bytes would reset the connection and take the answer with it.
            discard_until_end(&stream).await
        };
        let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
    }
}

/// Reads and drops what still comes, until the client closes.
pub(super) async fn discard_until_end(stream: &TcpStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        let mut buffer = [0; READ_BYTES];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}

impl Refusal {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Late | Self::Gone(_) => ErrorCode::Timeout,
            Self::Name(_) => ErrorCode::BadName,
            Self::Header(_) | Self::TooLong(_) => ErrorCode::BadFrame,
            Self::Json(error) if !error.is_data() => ErrorCode::BadFrame,
            Self::Json(_) | Self::Version(_) | Self::NoRequest => ErrorCode::BadHello,
            Self::Taken(_) => ErrorCode::NameTaken,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("it did not register in time"),
            Self::Name(error) => error.fmt(f),
            Self::Header(error) => write!(f, "the hello has {error}"),
            Self::TooLong(length) => write!(f, "a hello of {length} bytes; {CONTROL_BYTES_MAX} are the most"),
            Self::Json(error) => write!(f, "the hello is not the JSON it should be: {error}"),
            Self::Version(version) => {
                write!(f, "version {version} of the protocol; this relay speaks {PROTOCOL_VERSION}")
            }
            Self::NoRequest => f.write_str("the hello asks for nothing this relay knows"),
            Self::Taken(name) => write!(f, "the name {name} is taken"),
            Self::Gone(error) => error.fmt(f),
        }
    }
}
