//! One registered connection to a relay, in either version of the protocol.

use std::{collections::VecDeque, io, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    net::{DialError, Keepalive, SocketOptions, Target, dial},
    wire::{
        DecodeError, Decoder, ErrorCode, Frame, FromClient, FromRelay, Hello, Name, PROTOCOL_VERSION,
        Registered, encode_control, encode_header,
    },
};

/// The most a client takes in one frame. Generous: the relay's own limit decides.
const FRAME_BYTES_MAX: u64 = 1 << 30;

/// How often something is sent so that the relay knows the client is alive: a third of version 1's 30 s.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// How long a pong may take before the relay counts as gone.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// What is remembered while a long message is being sent; beyond it reading waits, as TCP does.
const ARRIVED_BYTES_MAX: usize = 8 << 20;

/// Finds a relay that vanished while nothing is sent: dead after 10 + 3 x 5 s.
const SOCKET: SocketOptions = SocketOptions {
    keepalive: Some(Keepalive { idle: Duration::from_secs(10), interval: Duration::from_secs(5), probes: 3 }),
    user_timeout: Some(Duration::from_secs(20)),
};

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Version 1; payloads arrive alone.
    Raw,
    /// Version 1 of a relay with framed delivery.
    Framed,
    /// Version 2.
    Session,
}

/// Something from the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes of raw delivery, as they came.
    Bytes(Vec<u8>),
    /// A whole message.
    Message(Frame),
    /// The relay's own word.
    Control(FromRelay),
}

/// Why there is no link, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The relay did not answer the hello in time.
    #[error("the relay did not answer; does it speak version 2 of the protocol?")]
    NoAnswer,
    /// The relay refused or ended the session and said why.
    #[error("the relay refused: {message}")]
    Refused {
        /// What programs go by.
        code: ErrorCode,
        /// What people read.
        message: String,
    },
    /// The relay ended the connection.
    #[error("the relay ended the connection")]
    Ended,
    /// The relay stops; when to come back.
    #[error("the relay is being stopped")]
    Closing(Duration),
    /// The relay no longer answers.
    #[error("the relay no longer answers")]
    Dead,
    /// What the relay sent cannot be understood.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The connection broke.
    #[error("the connection to the relay broke: {0}")]
    Io(#[from] io::Error),
}

/// A registered connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    mode: Mode,
    name: Name,
    decoder: Decoder,
    arrived: VecDeque<Event>,
    arrived_bytes: usize,
    max_message: u64,
    keepalive: Duration,
    next_keepalive: Instant,
    /// A ping that is not answered yet, and when it was sent.
    ping: Option<(u64, Instant)>,
    pings: u64,
}

impl Link {
    /// Connects and registers. Version 1 gives no sign of success; a taken name shows as an early [`LinkError::Ended`].
    ///
    /// # Errors
    /// No connection, or the relay's refusal.
    pub async fn open(target: &Target, name: &Name, mode: Mode, wait: Duration) -> Result<Self, LinkError> {
        let stream = dial(target, wait).await?;
        let _ = SOCKET.apply(&stream);
        let mut link = Self {
            stream,
            mode,
            name: name.clone(),
            decoder: Decoder::new(FRAME_BYTES_MAX),
            arrived: VecDeque::new(),
            arrived_bytes: 0,
            max_message: u64::MAX,
            keepalive: KEEPALIVE,
            next_keepalive: Instant::now() + KEEPALIVE,
            ping: None,
            pings: 0,
        };
        if mode == Mode::Session {
            timeout(wait, link.greet()).await.map_err(|_| LinkError::NoAnswer)??;
        } else {
            link.write(&[name.as_bytes(), b"|"].concat()).await?;
        }
        Ok(link)
    }

    async fn greet(&mut self) -> Result<(), LinkError> {
        let register = String::from_utf8_lossy(self.name.as_bytes()).into_owned();
        let mut hello = Vec::new();
        encode_control(&mut hello, &Hello { hello: PROTOCOL_VERSION, register: Some(register) });
        self.write(&hello).await?;
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                if let Ok(answer) = serde_json::from_slice::<Registered>(&frame.payload) {
                    self.max_message = answer.max_message;
                    self.keepalive = KEEPALIVE.min(Duration::from_millis(answer.idle_ms) / 3);
                    self.next_keepalive = Instant::now() + self.keepalive;
                    return Ok(());
                }
                return Err(match FromRelay::parse(&frame.payload) {
                    Ok(Some(FromRelay::Error(error))) => {
                        LinkError::Refused { code: error.code, message: error.message }
                    }
                    _ => LinkError::NoAnswer,
                });
            }
            self.stream.readable().await?;
            self.receive_raw()?;
        }
    }

    /// The largest message the relay takes from this client, in bytes.
    pub fn max_message(&self) -> u64 {
        self.max_message
    }

    /// The next thing from the relay. Keeps the connection alive meanwhile. May be cancelled without losing anything.
    ///
    /// # Errors
    /// The link has ended; what arrived before has been given out.
    pub async fn next(&mut self) -> Result<Event, LinkError> {
        loop {
            if let Some(event) = self.take_arrived() {
                return match event {
                    Event::Control(FromRelay::Closing(closing)) => {
                        Err(LinkError::Closing(Duration::from_millis(closing.retry_ms)))
                    }
                    Event::Control(FromRelay::Pong(number)) => {
                        self.ping.take_if(|(waiting, _)| *waiting == number);
                        Ok(Event::Control(FromRelay::Pong(number)))
                    }
                    event => Ok(event),
                };
            }
            tokio::select! {
                ready = self.stream.readable() => {
                    ready?;
                    self.receive()?;
                }
                () = sleep_until(self.next_keepalive) => self.keep_alive().await?,
            }
        }
    }

    /// Sends a message whole.
    ///
    /// # Errors
    /// The link has ended.
    pub async fn send(&mut self, dest: &[u8], payload: &[u8]) -> Result<(), LinkError> {
        let mut frame = Vec::with_capacity(payload.len() + dest.len() + 22);
        encode_header(&mut frame, dest, payload.len() as u64);
        frame.extend_from_slice(payload);
        self.write(&frame).await
    }

    /// Asks for a pong, which comes after everything sent so far was routed, and gives its number.
    ///
    /// # Errors
    /// The link has ended.
    pub async fn ping(&mut self) -> Result<u64, LinkError> {
        self.pings += 1;
        let number = self.pings;
        let mut frame = Vec::new();
        encode_control(&mut frame, &FromClient::Ping(number));
        self.ping.get_or_insert((number, Instant::now()));
        self.write(&frame).await?;
        Ok(number)
    }

    async fn keep_alive(&mut self) -> Result<(), LinkError> {
        if self.mode != Mode::Session {
            let mut frame = Vec::new();
            encode_header(&mut frame, self.name.as_bytes(), 0);
            return self.write(&frame).await;
        }
        match self.ping {
            Some((_, sent)) if sent.elapsed() >= PONG_TIMEOUT => Err(LinkError::Dead),
            Some((_, sent)) => {
                self.next_keepalive = sent + PONG_TIMEOUT;
                Ok(())
            }
            None => self.ping().await.map(|_| ()),
        }
    }

    /// Writes everything, and goes on reading meanwhile: a relay whose answers are not read stops reading itself.
    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), LinkError> {
        while !bytes.is_empty() {
            let reads = self.arrived_bytes < ARRIVED_BYTES_MAX;
            tokio::select! {
                ready = self.stream.writable() => {
                    ready?;
                    match self.stream.try_write(bytes) {
                        Ok(n) => bytes = &bytes[n..],
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        // The relay may have said why before it closed.
                        Err(error) => return Err(self.last_words().unwrap_or(LinkError::Io(error))),
                    }
                }
                ready = self.stream.readable(), if reads => {
                    ready?;
                    self.receive()?;
                }
            }
        }
        self.next_keepalive = Instant::now() + self.keepalive;
        Ok(())
    }

    fn last_words(&mut self) -> Option<LinkError> {
        while self.receive().is_ok_and(|n| n > 0) {}
        self.arrived.iter().find_map(|event| match event {
            Event::Control(FromRelay::Error(error)) => {
                Some(LinkError::Refused { code: error.code, message: error.message.clone() })
            }
            _ => None,
        })
    }

    /// Takes in what is there to be read, and says how many bytes that was.
    fn receive(&mut self) -> Result<usize, LinkError> {
        let Some(bytes) = self.receive_raw()? else { return Ok(0) };
        let n = bytes.len();
        self.arrived_bytes += n;
        if self.mode == Mode::Raw {
            self.arrived.push_back(Event::Bytes(bytes));
            return Ok(n);
        }
        while let Some(frame) = self.decoder.next_frame()? {
            if !frame.sender.is_empty() {
                self.arrived.push_back(Event::Message(frame));
            } else if let Ok(Some(control)) = FromRelay::parse(&frame.payload) {
                self.arrived.push_back(Event::Control(control));
            }
        }
        Ok(n)
    }

    /// Reads once, into the decoder or, in raw mode, for the caller.
    fn receive_raw(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        let mut buffer = vec![0; 64 << 10];
        match self.stream.try_read(&mut buffer) {
            Ok(0) if self.arrived.is_empty() => Err(LinkError::Ended),
            Ok(0) => Ok(None),
            Ok(n) => {
                buffer.truncate(n);
                if self.mode != Mode::Raw {
                    self.decoder.feed(&buffer);
                }
                Ok(Some(buffer))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(LinkError::Ended),
            Err(error) => Err(error.into()),
        }
    }

    fn take_arrived(&mut self) -> Option<Event> {
        let event = self.arrived.pop_front()?;
        if self.arrived.is_empty() {
            self.arrived_bytes = 0;
        }
        Some(event)
    }
}
