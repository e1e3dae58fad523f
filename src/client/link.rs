//! One registered connection to a relay, in either version of the protocol.

use std::{collections::VecDeque, io, net::Shutdown, time::Duration};

use socket2::SockRef;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    Registration,
    error::LinkError,
    greet::{Credentials, greet},
    liveness::{HELD_BACK_TIMEOUT, Liveness},
};
use crate::{
    net::{Keepalive, SocketOptions, dial},
    wire::{
        CONTROL_BYTES_MAX, Decoder, ErrorCode, Frame, FromClient, FromRelay, Hello, Ownership, Registered,
        TextName, Undeliverable, encode_control, encode_header, parse_message,
    },
};

/// The most a client takes in one frame, and sends in one, whatever the relay says of itself: it is kept whole. A relay takes no larger
/// `--max-message`.
const FRAME_BYTES_MAX: u64 = 1 << 30;

/// What is remembered while a long message is being sent; beyond it reading waits, as TCP does.
const ARRIVED_BYTES_MAX: usize = 8 << 20;

/// What an event takes beside its contents: itself, and what the allocator adds to its two allocations.
const EVENT_BYTES: usize = size_of::<Event>() + 2 * 32;

/// Bytes of messages between two pings that a session sends on its own. Their pongs show, while a slow recipient holds the messages back,
/// that the relay is alive; this often they cost nothing.
const BYTES_PER_PING: usize = 256 << 10;

/// How long a header may take to arrive whole, in version 1 with framed delivery. A relay sends each in one piece, so more than a lost packet
/// or two means that the relay sends no headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How much is shown of what is no frame.
const SHOWN_BYTES_MAX: usize = 80;

/// Finds a relay that vanished while nothing is under way: dead after 10 + 3 x 5 s.
const KEEPALIVE: Keepalive =
    Keepalive { idle: Duration::from_secs(10), interval: Duration::from_secs(5), probes: 3 };

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

impl Mode {
    fn socket_options(self) -> SocketOptions {
        // It counts a relay that holds its sender back (a closed window) as dead. A session has pings and needs it not; version 1 has
        // no other way to notice a dead relay, so it gets the same patience as the pings of a session.
        let user_timeout = (self != Self::Session).then_some(HELD_BACK_TIMEOUT);
        SocketOptions { keepalive: Some(KEEPALIVE), user_timeout }
    }
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

impl Event {
    /// How much memory it takes while it is kept. Even an empty message takes room.
    pub(super) fn kept_bytes(&self) -> usize {
        EVENT_BYTES
            + match self {
                Self::Bytes(bytes) => bytes.len(),
                Self::Message(frame) => frame.sender.len() + frame.payload.len(),
                Self::Control(FromRelay::Error(error)) => error.message.len(),
                Self::Control(FromRelay::Undeliverable(notice)) => {
                    notice.dest.as_ref().or(notice.dest_hex.as_ref()).map_or(0, String::len)
                }
                Self::Control(_) => 0,
            }
    }

    /// Whether the relay says that nobody has the name.
    pub fn is_undelivered(&self, dest: &[u8]) -> bool {
        let Self::Control(FromRelay::Undeliverable(notice)) = self else { return false };
        *notice == Undeliverable::new(dest, notice.count)
    }
}

/// A registered connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    mode: Mode,
    name: TextName,
    decoder: Decoder,
    arrived: VecDeque<Event>,
    /// What `arrived` takes, and what was received of frames that are not whole.
    arrived_bytes: usize,
    max_message: u64,
    liveness: Liveness,
    /// Whole frames, of which the first `written` bytes are on their way. Kept here, not by whoever waits, so that waiting may be given up
    /// inside a frame.
    unsent: Vec<u8>,
    written: usize,
    /// The system took less than was offered, so what it takes next, others have taken from it.
    was_full: bool,
    /// Bytes of messages since the last ping.
    bytes_since_ping: usize,
    /// Since when a header is unfinished, with framed delivery.
    unfinished: Option<Instant>,
}

impl Link {
    /// Connects and registers; with `if_free`, only if not even the same owner has the name. Version 1 gives no sign of success; a taken name
    /// shows as an early [`LinkError::Ended`].
    ///
    /// # Errors
    /// No connection, or the relay's refusal.
    pub(super) async fn open(registration: &Registration, if_free: bool) -> Result<Self, LinkError> {
        let Registration { relay, name, mode, connect_timeout: wait, credentials } = registration;
        let (mode, wait) = (*mode, *wait);
        let stream = dial(relay, wait).await?;
        let _ = mode.socket_options().apply(&stream);
        let mut link = Self {
            stream,
            mode,
            name: name.clone(),
            decoder: Decoder::new(FRAME_BYTES_MAX),
            arrived: VecDeque::new(),
            arrived_bytes: 0,
            max_message: u64::MAX,
            liveness: Liveness::new(Instant::now()),
            unsent: Vec::new(),
            written: 0,
            was_full: false,
            bytes_since_ping: 0,
            unfinished: None,
        };
        if mode == Mode::Session {
            // What comes before the answer is short.
            link.decoder = Decoder::new(CONTROL_BYTES_MAX);
            timeout(wait, link.greet(credentials, if_free)).await.map_err(|_| LinkError::NoAnswer)??;
        } else {
            link.unsent = [name.as_bytes(), b"|"].concat();
            link.flush().await?;
        }
        Ok(link)
    }

    async fn greet(&mut self, credentials: &Credentials, if_free: bool) -> Result<(), LinkError> {
        let ownership = Ownership { owner: credentials.owner_key(&self.name), if_free };
        let hello = Hello::Register { name: self.name.clone(), ownership };
        let json = greet(&self.stream, &hello, credentials, &mut self.decoder).await?;
        let answer: Registered = parse_message(&json).map_err(|_| LinkError::NoAnswer)?;
        self.max_message = answer.max_message.min(FRAME_BYTES_MAX);
        // The limit holds for whoever sends to this client, too. The relay's own words may be longer.
        self.limit_frames(self.max_message.max(CONTROL_BYTES_MAX));
        self.liveness.set_idle(Duration::from_millis(answer.idle_ms), Instant::now());
        // Whoever saw the name appear may have written already, and nothing else need ever come.
        self.decode()
    }

    /// From now on a frame with a larger payload ends the link. What was received stays.
    fn limit_frames(&mut self, payload_bytes_max: u64) {
        let decoder = std::mem::replace(&mut self.decoder, Decoder::new(payload_bytes_max));
        self.decoder.feed(&decoder.into_rest());
    }

    /// What is spoken.
    pub fn mode(&self) -> Mode {
        self.mode
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
        // A relay that has always something to say does not keep the program from its deadlines, nor from being stopped.
        tokio::task::consume_budget().await;
        loop {
            match self.take_arrived() {
                Some(Event::Control(FromRelay::Closing(closing))) => {
                    return Err(LinkError::Closing(Duration::from_millis(closing.retry_ms)));
                }
                Some(Event::Control(FromRelay::Error(error))) if error.code == ErrorCode::Replaced => {
                    return Err(LinkError::Refused { code: error.code, message: error.message });
                }
                Some(event) => return Ok(event),
                None => {}
            }
            if let Err(error) = self.step(true).await? {
                // Reading tells why, once it has told what came before.
                self.give_up_sending(&error);
            }
        }
    }

    /// Keeps the connection alive without reading, so that the relay holds back whoever sends. Never ends; may be cancelled. If the
    /// connection is lost meanwhile, [`Self::next`] tells, behind what had arrived.
    pub async fn keep(&mut self) -> std::convert::Infallible {
        loop {
            match self.step(false).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.give_up_sending(&error),
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Says goodbye and waits until the relay has done the same, at most for `wait`: after that the name is free for whoever comes next.
    pub async fn leave(mut self, wait: Duration) {
        if SockRef::from(&self.stream).shutdown(Shutdown::Write).is_ok() {
            let gone = async { while self.next().await.is_ok() {} };
            let _ = timeout(wait, gone).await;
        }
    }

    /// Sends a message whole.
    ///
    /// # Errors
    /// The link has ended.
    pub async fn send(&mut self, dest: &[u8], payload: &[u8]) -> Result<(), LinkError> {
        self.push_message(dest, payload);
        self.flush().await
    }

    /// Has a message sent while the link is read, without waiting for it. It is dropped while anything else waits to be written or, in a
    /// session, the relay has not passed on what was sent before, so that no slow recipient can hold back more than one. Whether it will be sent.
    pub fn offer(&mut self, dest: &[u8], payload: &[u8]) -> bool {
        if !self.unsent.is_empty() || self.liveness.is_asked() {
            return false;
        }
        self.push_message(dest, payload);
        if self.mode == Mode::Session && !self.liveness.is_asked() {
            self.push_ping();
        }
        true
    }

    fn push_message(&mut self, dest: &[u8], payload: &[u8]) {
        self.unsent.reserve(payload.len() + dest.len() + 64);
        encode_header(&mut self.unsent, dest, payload.len() as u64);
        self.unsent.extend_from_slice(payload);
        self.liveness.sent_message();
        self.bytes_since_ping += payload.len();
        if self.mode == Mode::Session && self.bytes_since_ping >= BYTES_PER_PING {
            self.push_ping();
        }
    }

    /// Asks for a pong, which comes after everything sent so far was routed, and gives its number.
    ///
    /// # Errors
    /// The link has ended.
    pub async fn ping(&mut self) -> Result<u64, LinkError> {
        let number = self.push_ping();
        self.flush().await?;
        Ok(number)
    }

    fn push_ping(&mut self) -> u64 {
        self.bytes_since_ping = 0;
        let number = self.liveness.ping(Instant::now());
        encode_control(&mut self.unsent, &FromClient::Ping(number));
        number
    }

    /// Writes everything, and goes on reading meanwhile: a relay whose answers are not read stops reading itself.
    async fn flush(&mut self) -> Result<(), LinkError> {
        let (mut written, mut since) = (self.written, Instant::now());
        while !self.unsent.is_empty() {
            let reads = self.arrived_bytes < ARRIVED_BYTES_MAX;
            if reads || written != self.written {
                (written, since) = (self.written, Instant::now());
            }
            // Who does not read cannot judge the relay by what it says.
            let Ok(stepped) = timeout_at(since + HELD_BACK_TIMEOUT, self.step(reads)).await else {
                return Err(LinkError::HeldBack);
            };
            if let Err(error) = stepped? {
                // The relay may have said why before it closed.
                return Err(self.last_words().unwrap_or(LinkError::Io(error)));
            }
        }
        Ok(())
    }

    /// Waits for one thing and does it: write, read, show that the client is alive. May be cancelled. The inner result is writing's.
    async fn step(&mut self, reads: bool) -> Result<io::Result<()>, LinkError> {
        let now = Instant::now();
        self.liveness.set_reading(reads, now);
        if now >= self.liveness.due() {
            // Reading might never come to an end, and the relay is not to take this client for dead meanwhile.
            self.show_life(now);
        }
        tokio::select! {
            // What can be written goes first. The clock comes last, for there is no silence while there is something to read.
            biased;
            ready = self.stream.writable(), if !self.unsent.is_empty() => {
                return Ok(ready.and_then(|()| self.write_once()));
            }
            ready = self.stream.readable(), if reads => {
                ready?;
                self.receive()?;
            }
            () = sleep_until(self.wake()) => self.look_at_the_clock()?,
        }
        Ok(Ok(()))
    }

    fn wake(&self) -> Instant {
        let wake = self.liveness.wake();
        let wake = self.stalled_at().map_or(wake, |stalled| wake.min(stalled));
        self.unfinished.map_or(wake, |since| wake.min(since + HEADER_TIMEOUT))
    }

    /// When a frame of which nothing more comes has come to its end. A relay sends each without a pause; version 1 has no ping that would
    /// show whether it is still there.
    fn stalled_at(&self) -> Option<Instant> {
        let is_unfinished = self.mode == Mode::Framed && self.decoder.is_inside_frame();
        self.liveness.silent_at().filter(|_| is_unfinished)
    }

    fn look_at_the_clock(&mut self) -> Result<(), LinkError> {
        let now = Instant::now();
        if self.unfinished.is_some_and(|since| now >= since + HEADER_TIMEOUT) {
            return Err(self.not_frames());
        }
        if self.stalled_at().is_some_and(|stalled| now >= stalled) {
            return Err(LinkError::Dead);
        }
        if let Some(error) = self.liveness.verdict(now) {
            return Err(error);
        }
        if now >= self.liveness.due() {
            self.show_life(now);
        }
        Ok(())
    }

    /// Has something sent that shows that the client is alive.
    fn show_life(&mut self, now: Instant) {
        self.liveness.sent(now);
        let is_idle = self.unsent.is_empty();
        if self.mode == Mode::Session {
            // While frames wait to be written, one ping behind them is enough.
            if is_idle || !self.liveness.is_asked() {
                self.push_ping();
            }
        } else if is_idle {
            encode_header(&mut self.unsent, self.name.as_bytes(), 0);
        }
    }

    fn write_once(&mut self) -> io::Result<()> {
        let rest = &self.unsent[self.written..];
        let n = match self.stream.try_write(rest) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let now = Instant::now();
        if n > 0 {
            self.liveness.sent(now);
            if self.was_full {
                // Room comes only from what the relay's system has acknowledged.
                self.liveness.taken(now);
            }
        }
        self.was_full = n < rest.len();
        self.written += n;
        if self.written == self.unsent.len() {
            // A long message's memory is not kept for the next ping.
            self.unsent = Vec::new();
            self.written = 0;
        }
        Ok(())
    }

    fn give_up_sending(&mut self, error: &io::Error) {
        tracing::debug!(%error, "cannot send any more");
        self.unsent = Vec::new();
        self.written = 0;
    }

    fn last_words(&mut self) -> Option<LinkError> {
        while self.arrived_bytes < ARRIVED_BYTES_MAX && self.receive().is_ok_and(|n| n > 0) {}
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
        self.liveness.received(n, Instant::now());
        self.arrived_bytes += n;
        match self.mode {
            Mode::Raw => self.keep_arrived(Event::Bytes(bytes)),
            Mode::Session => self.decode()?,
            Mode::Framed => {
                self.decode().map_err(|_| self.not_frames())?;
                let is_unfinished = self.decoder.unfinished_header().is_some();
                self.unfinished = is_unfinished.then(|| self.unfinished.unwrap_or_else(Instant::now));
            }
        }
        if self.arrived.is_empty() && !self.decoder.is_inside_frame() {
            // Nothing of it was kept.
            self.arrived_bytes = 0;
        }
        Ok(n)
    }

    /// The end of a link on which something else came than frames.
    fn not_frames(&mut self) -> LinkError {
        let mut rest = std::mem::replace(&mut self.decoder, Decoder::new(FRAME_BYTES_MAX)).into_rest();
        rest.truncate(SHOWN_BYTES_MAX);
        LinkError::NotFrames(rest)
    }

    /// Takes the frames that are whole out of what was received.
    fn decode(&mut self) -> Result<(), LinkError> {
        while let Some(frame) = self.decoder.next_frame()? {
            if !frame.sender.is_empty() {
                self.keep_arrived(Event::Message(frame));
            } else if let Ok(Some(control)) = FromRelay::parse(&frame.payload) {
                // A pong that answers nothing is of no use to anybody.
                let is_news = match control {
                    FromRelay::Pong(number) => self.liveness.pong(number, Instant::now()),
                    _ => true,
                };
                if is_news {
                    self.keep_arrived(Event::Control(control));
                }
            }
        }
        Ok(())
    }

    /// Its contents were counted when they were received.
    fn keep_arrived(&mut self, event: Event) {
        self.arrived_bytes += EVENT_BYTES;
        self.arrived.push_back(event);
    }

    /// Reads once, into the decoder or, in raw mode, for the caller.
    fn receive_raw(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        let mut buffer = vec![0; 64 << 10];
        match self.stream.try_read(&mut buffer) {
            Ok(0) if self.arrived.is_empty() => Err(LinkError::Ended),
            Ok(0) => Ok(None),
            Ok(n) => {
                buffer.truncate(n);
                // In raw mode it is kept as it is.
                buffer.shrink_to_fit();
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
        // Headers were counted, too, and are forgotten with the last event.
        self.arrived_bytes = self.arrived_bytes.saturating_sub(event.kept_bytes());
        if self.arrived.is_empty() {
            self.arrived_bytes = 0;
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        thread::JoinHandle,
    };

    use super::*;
    use crate::{client::Claim, wire::DecodeError};

    const HELLO: &str = r#"{"hello":2,"registered":"a","max_message":MAX,"idle_ms":30000}"#;

    /// A relay that answers the hello of one client, if the client has one, and then does as it likes.
    fn fake(
        max_message: u64,
        rest: impl FnOnce(TcpStream) + Send + 'static,
    ) -> (Registration, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registration = Registration {
            relay: listener.local_addr().unwrap().into(),
            name: TextName::new("a").unwrap(),
            mode: if max_message == 0 { Mode::Framed } else { Mode::Session },
            connect_timeout: Duration::from_secs(60),
            credentials: Credentials::default(),
        };
        let relay = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut hello = [0; 256];
            assert!(stream.read(&mut hello).unwrap() > 0);
            if max_message > 0 {
                let json = HELLO.replace("MAX", &max_message.to_string());
                stream.write_all(format!("|{}|{json}", json.len()).as_bytes()).unwrap();
            }
            rest(stream);
        });
        (registration, relay)
    }

    async fn open(registration: &Registration) -> Link {
        registration.open(&mut Claim::default()).await.unwrap()
    }

    /// Reads until the client is gone.
    fn drain(mut stream: TcpStream) {
        let _ = io::copy(&mut stream, &mut io::sink());
    }

    #[tokio::test]
    async fn a_frame_is_as_large_as_the_relay_takes_and_never_larger_than_a_client_keeps() {
        for (max_message, announced, is_taken) in [
            (1, CONTROL_BYTES_MAX, true),
            (1, CONTROL_BYTES_MAX + 1, false),
            (20_000, 19_999, true),
            (20_000, 20_000, true),
            (20_000, 20_001, false),
            (u64::MAX, FRAME_BYTES_MAX, true),
            (u64::MAX, FRAME_BYTES_MAX + 1, false),
        ] {
            let (registration, relay) = fake(max_message, move |mut stream| {
                let json = r#"{"wanted":0}"#;
                // What is taken is not sent: another frame shows that the first is waited for, since it does not come.
                stream.write_all(format!("|{}|{json}b|{announced}|", json.len()).as_bytes()).unwrap();
                drain(stream);
            });
            if is_taken {
                let mut link = open(&registration).await;
                assert_eq!(link.max_message(), max_message.min(FRAME_BYTES_MAX));
                assert_eq!(link.next().await.unwrap(), Event::Control(FromRelay::Wanted(0)));
                assert!(timeout(Duration::from_millis(50), link.next()).await.is_err(), "{announced}");
            } else {
                // It may come together with the answer to the hello.
                let error = match registration.open(&mut Claim::default()).await {
                    Err(error) => error,
                    Ok(mut link) => loop {
                        if let Err(error) = link.next().await {
                            break error;
                        }
                    },
                };
                let LinkError::Decode(DecodeError::TooLarge(bytes)) = error else { panic!("{error}") };
                assert_eq!(bytes, announced);
            }
            relay.join().unwrap();
        }
    }

    #[tokio::test]
    async fn a_relay_that_sends_and_takes_nothing_is_given_up() {
        let (registration, relay) = fake(FRAME_BYTES_MAX, |mut stream| {
            let message = [&b"b|65536|"[..], &[0; 65536]].concat();
            // More than a client remembers while it sends. Then it waits to be left.
            while stream.write_all(&message).is_ok() {}
        });
        let mut link = open(&registration).await;
        let payload = vec![0; 64 << 20];
        // From here on only the clock has anything to tell.
        tokio::time::pause();
        let sent = timeout(HELD_BACK_TIMEOUT * 10, link.send(b"b", &payload)).await;
        assert!(matches!(sent, Ok(Err(LinkError::HeldBack))), "{sent:?}");
        drop(link);
        relay.join().unwrap();
    }

    #[tokio::test]
    async fn what_is_kept_while_a_message_is_sent_is_bounded_however_small_it_is() {
        for (part, is_kept) in [("a|0|", true), (r#"|12|{"wanted":1}"#, true), (r#"|10|{"pong":2}"#, false)] {
            let (done, is_done) = std::sync::mpsc::channel::<()>();
            let (registration, relay) = fake(FRAME_BYTES_MAX, move |mut stream| {
                let many = part.repeat(16 << 10);
                // The client may stop reading.
                stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
                for _ in 0..(ARRIVED_BYTES_MAX / 4 / many.len()) {
                    if stream.write_all(many.as_bytes()).is_err() {
                        break;
                    }
                }
                let _ = is_done.recv();
            });
            let mut link = open(&registration).await;
            let payload = vec![0; 64 << 20];
            let sent = timeout(Duration::from_secs(2), link.send(b"b", &payload)).await;
            assert!(sent.is_err(), "it is not taken");
            let kept = link.arrived.len();
            // One more read may bring as many as fit in it.
            let most = ARRIVED_BYTES_MAX / EVENT_BYTES + (64 << 10) / part.len() + 1;
            assert!(kept <= most, "{part}: {kept}");
            assert_eq!(kept > 0, is_kept, "{part}: {kept}");
            drop(done);
            relay.join().unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_offered_waits_for_nobody_and_is_dropped_while_the_last_is_not_passed_on() {
        let (registration, relay) = fake(1000, |mut stream| {
            let ping = encoded_control(1, "ping");
            let mut taken = vec![0; 5 + ping.len()];
            stream.read_exact(&mut taken).unwrap();
            assert_eq!(taken, [&b"b|1|1"[..], &ping].concat());
            stream.write_all(&encoded_control(1, "pong")).unwrap();
            let mut taken = vec![0; 5 + ping.len()];
            stream.read_exact(&mut taken).unwrap();
            assert_eq!(taken, [&b"b|1|3"[..], &encoded_control(2, "ping")].concat());
            drain(stream);
        });
        let mut link = open(&registration).await;
        assert!(link.offer(b"b", b"1"));
        assert!(!link.offer(b"b", b"2"));
        assert_eq!(link.next().await.unwrap(), Event::Control(FromRelay::Pong(1)));
        assert!(link.offer(b"b", b"3"));
        assert!(timeout(Duration::from_millis(50), link.next()).await.is_err());
        drop(link);
        relay.join().unwrap();
    }

    fn encoded_control(number: u64, verb: &str) -> Vec<u8> {
        let json = format!(r#"{{"{verb}":{number}}}"#);
        format!("|{}|{json}", json.len()).into_bytes()
    }

    #[tokio::test]
    async fn a_relay_that_takes_a_message_and_never_answers_is_given_up() {
        let (registration, relay) = fake(1000, drain);
        let mut link = open(&registration).await;
        link.send(b"b", b"hello").await.unwrap();
        link.ping().await.unwrap();
        tokio::time::pause();
        let next = timeout(HELD_BACK_TIMEOUT * 10, link.next()).await;
        assert!(matches!(next, Ok(Err(LinkError::HeldBack))), "{next:?}");
        drop(link);
        relay.join().unwrap();
    }

    #[tokio::test]
    async fn a_frame_of_version_1_that_stops_halfway_ends_the_link() {
        let (registration, relay) = fake(0, |mut stream| {
            stream.write_all(b"b|1|xb|1073741824|y").unwrap();
            drain(stream);
        });
        let mut link = open(&registration).await;
        assert!(matches!(link.next().await, Ok(Event::Message(_))));
        tokio::time::pause();
        let next = timeout(HELD_BACK_TIMEOUT * 10, link.next()).await;
        assert!(matches!(next, Ok(Err(LinkError::Dead))), "{next:?}");
        drop(link);
        relay.join().unwrap();
    }
}
