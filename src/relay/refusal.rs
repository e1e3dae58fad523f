//! Why a connection is not let in, and how it is told.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use name_relay_core::registry::Denied;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tracing::{debug, warn};

use super::Shared;
use crate::net::ListenError;
use crate::wire::{
    BadHello, BadName, CONTROL_BYTES_MAX, ErrorCode, ErrorNotice, FromRelay, HeaderError, Name, TextName,
    encode_control,
};

/// Bytes read at once of what a refused client still sends.
const DISCARD_BYTES: usize = 1024;

/// How long a refused client may take to read the reason.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// What a browser, or another program that speaks HTTP, is answered.
const HTTP_PAGE: &str = "\
This port is a relay's. It does not speak HTTP, and nothing was done with the request.
Use the program `relay` with it: `relay connect`, `send` and `recv` for messages, `relay forward NAME` to reach a service behind it.
";

/// What a program that speaks TLS is answered: the alert handshake_failure, fatal, in a record of TLS 1.2.
const TLS_ALERT: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28];

/// Why a connection is not let in.
#[derive(Debug)]
pub(super) enum Refusal {
    Late,
    /// A web page or another program that takes this port for a web server's.
    Http,
    /// A program that takes this port for one with TLS.
    Tls,
    /// Version 1 cannot prove a token.
    Version1,
    /// The relay cannot make a challenge.
    NoChallenge(getrandom::Error),
    /// No proof came.
    NoToken,
    /// A proof of something else.
    WrongToken,
    /// The rules do not have it.
    NotAllowed(Name),
    Name(BadName),
    Header(HeaderError),
    TooLong(u64),
    Hello(BadHello),
    Taken(Name),
    NoSuchService(TextName),
    /// The service has parked no connection in time.
    NotAnswered(TextName),
    BadKey(TextName),
    TooManyStreams,
    /// As many visitors wait for the service as may.
    TooManyWaiting(TextName),
    /// The system has no descriptors for another stream.
    NoDescriptors,
    /// A connection that was to be parked has said something.
    Spoke,
    NoPublicPorts,
    /// The port, and the first and the last of those that are given away.
    PortNotAllowed(u16, u16, u16),
    NoPortFree(u16, u16),
    Port(ListenError),
    /// The system gave no random bytes.
    NoRandomness,
    /// The client went away first.
    Gone(io::Error),
}

/// Tells the log, and a client that has a way to be told, why it is not let in.
pub(super) async fn refuse(
    shared: &Shared,
    refusal: Refusal,
    stream: Option<TcpStream>,
    address: SocketAddr,
    speaks_version_2: bool,
) {
    shared.counters.refused.fetch_add(1, Relaxed);
    if let Refusal::Gone(error) = refusal {
        debug!(%address, %error, "left before registering");
        return;
    }
    if shared.refusal_log.allows(Instant::now()) {
        warn!(%address, reason = %refusal, "refused");
    }
    if let Some(stream) = stream {
        tell(&refusal, stream, speaks_version_2).await;
    }
}

/// Tells a client why it is not let in, if it speaks something in which that can be said.
pub(super) async fn tell(refusal: &Refusal, stream: TcpStream, speaks_version_2: bool) {
    if let Some(answer) = refusal.answer(speaks_version_2) {
        answer_and_close(&answer, stream).await;
    }
}

/// Says the only thing that a connection is told, and lets the client read it.
pub(super) async fn answer_and_close(answer: &[u8], mut stream: TcpStream) {
    let farewell = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection and take the answer with it.
        discard_until_end(&stream).await
    };
    let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
}

/// Reads and drops what still comes, until the client closes.
pub(super) async fn discard_until_end(stream: &TcpStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        let mut buffer = [0; DISCARD_BYTES];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}

impl Refusal {
    /// The registry's answer, for the client and the log.
    pub(super) fn denied(denied: Denied, name: Name) -> Self {
        match denied {
            Denied::Taken => Self::Taken(name),
            Denied::Gone => Self::Gone(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// What the client is sent, in what it speaks itself; version 1 has no words for it.
    fn answer(&self, speaks_version_2: bool) -> Option<Vec<u8>> {
        match self {
            Self::Http => {
                let length = HTTP_PAGE.len();
                let page = format!(
                    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
                     Connection: close\r\n\r\n{HTTP_PAGE}"
                );
                Some(page.into_bytes())
            }
            Self::Tls => Some(TLS_ALERT.to_vec()),
            _ if speaks_version_2 => {
                let mut answer = Vec::new();
                let message = self.to_string();
                encode_control(&mut answer, &FromRelay::Error(ErrorNotice { code: self.code(), message }));
                Some(answer)
            }
            _ => None,
        }
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::Late | Self::Gone(_) | Self::NotAnswered(_) => ErrorCode::Timeout,
            Self::Name(_) => ErrorCode::BadName,
            Self::Http | Self::Tls => ErrorCode::BadFrame,
            Self::Header(_) | Self::TooLong(_) => ErrorCode::BadFrame,
            Self::Hello(error) => error.code(),
            Self::Taken(_) => ErrorCode::NameTaken,
            Self::NoSuchService(_) => ErrorCode::NoSuchService,
            Self::BadKey(_) => ErrorCode::BadKey,
            Self::Spoke => ErrorCode::BadFrame,
            Self::TooManyStreams | Self::TooManyWaiting(_) | Self::NoDescriptors => ErrorCode::TooManyStreams,
            Self::Port(ListenError::InUse(_)) | Self::NoPortFree(..) => ErrorCode::PortInUse,
            Self::NoPublicPorts | Self::PortNotAllowed(..) | Self::Port(_) => ErrorCode::PortNotAllowed,
            Self::NoRandomness => ErrorCode::Other,
            Self::Version1
            | Self::NoChallenge(_)
            | Self::NoToken
            | Self::WrongToken
            | Self::NotAllowed(_) => ErrorCode::Unauthorized,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("it did not register in time"),
            Self::Http => f.write_str("it speaks HTTP, which this port does not"),
            Self::Tls => f.write_str("it speaks TLS, which this port does not"),
            Self::Version1 => f.write_str("version 1 of the protocol cannot prove a token"),
            Self::NoChallenge(error) => write!(f, "this relay cannot make a challenge: {error}"),
            Self::NoToken => f.write_str("this relay asks for a token, and no proof of one came"),
            Self::WrongToken => f.write_str("the token is none of this relay's"),
            Self::NotAllowed(name) => write!(f, "the rules of this relay do not allow the name {name}"),
            Self::Name(error) => error.fmt(f),
            Self::Header(error) => write!(f, "the hello has {error}"),
            Self::TooLong(length) => write!(f, "a hello of {length} bytes; {CONTROL_BYTES_MAX} are the most"),
            Self::Hello(error) => error.fmt(f),
            Self::Taken(name) => write!(f, "the name {name} is taken"),
            Self::NoSuchService(name) => write!(f, "nobody exposes a service named {name}"),
            Self::NotAnswered(name) => write!(f, "the service {name} did not answer in time"),
            Self::BadKey(name) => write!(f, "the key is not that of the service {name}"),
            Self::TooManyStreams => f.write_str("the service has as many connections as it may have"),
            Self::TooManyWaiting(name) => {
                write!(f, "too many visitors wait for the service {name} already; try again later")
            }
            Self::NoDescriptors => f.write_str(
                "the relay has no descriptors left for another stream; raise its limit on open files",
            ),
            Self::Spoke => f.write_str("a connection that is to be parked says nothing behind its hello"),
            Self::NoPublicPorts => f.write_str("this relay gives away no public ports"),
            Self::PortNotAllowed(port, first, last) => {
                write!(f, "port {port} is not one of those this relay gives away, {first} to {last}")
            }
            Self::NoPortFree(first, last) => write!(f, "none of the public ports {first} to {last} is free"),
            Self::Port(ListenError::InUse(address)) => write!(f, "port {} is taken", address.port()),
            Self::Port(_) => f.write_str("the system does not let this relay have the port"),
            Self::NoRandomness => f.write_str("the relay's system gives no random numbers"),
            Self::Gone(error) => error.fmt(f),
        }
    }
}
