//! `relay recv`: what arrives for a name to standard output.

mod transfer;

use std::{
    io::{self, ErrorKind, IsTerminal, stdout},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::transfer::{Incoming, Step};
use super::{
    Failure,
    failure::tell,
    output::Output,
    relay_args::{RelayArgs, sentence},
    runtime,
    secrets::CredentialArgs,
    values::Span,
};
use crate::{
    client::{Claim, Event, Link, LinkError, Part, Refusal},
    net::{Reconnect, stop_signal},
    wire::{ErrorCode, Escaped, Frame, FromRelay, Name, TextName},
};

/// The first and the longest pause before connecting again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// How long what came may take to be written when the program is asked to stop.
const STOP_WAIT: Duration = Duration::from_secs(1);

/// A deadline that nobody lives to see.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Receive what is sent to a name
///
/// The payload of each message goes to standard output as it came; on a terminal, what could steer it is shown escaped. If the
/// connection is lost, connects again by itself. Ends with 0 after --count messages, after a whole --transfer, or on Ctrl-C outside of one.
#[derive(Debug, Args)]
pub(crate) struct Recv {
    #[command(flatten)]
    relay: RelayArgs,

    #[command(flatten)]
    credentials: CredentialArgs,

    /// The name to receive as
    #[arg(long = "as", value_name = "NAME")]
    name: TextName,

    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "transfer")]
    count: Option<u64>,

    /// End when nothing has arrived for so long: with 1 if something is still missing, otherwise with 0
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,

    /// Only messages from this sender; others are dropped
    #[arg(long, value_name = "NAME")]
    from: Option<Name>,

    /// End each message with a newline
    #[arg(long, conflicts_with_all = ["json", "transfer"])]
    lines: bool,

    /// One JSON object a line: from (from_hex when it is not UTF-8), length, and text or hex
    #[arg(long, conflicts_with = "transfer")]
    json: bool,

    /// Receive one transfer, sent with `relay send --transfer`, or what one sender sends as a single message
    #[arg(long)]
    transfer: bool,

    /// Show a terminal the bytes as they came, even those that steer it
    #[arg(long)]
    raw: bool,

    /// Write to this file, which appears when everything has arrived; a device or a pipe is written as it is
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Give up when no connection could be made for so long [default: never]
    #[arg(long, value_name = "TIME")]
    retry_for: Option<Span>,
}

/// Between two answers to senders of transfers that nobody waits for: many would be a burden for all.
const REFUSAL_INTERVAL: Duration = Duration::from_millis(100);

/// How long the last word of this program may take to its way.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(1);

/// Why receiving stopped.
enum Stop {
    Done,
    Timeout,
    Lost(LinkError),
}

/// What has been received so far, across connections.
struct Received {
    messages: u64,
    /// The one transfer.
    incoming: Incoming,
    refusals: Refusals,
    /// The person knows that a transfer was refused.
    has_told: bool,
    output: Output,
}

/// The answers to senders of transfers that nobody waits for. They must not hold up what is waited for.
#[derive(Debug, Default)]
struct Refusals {
    /// When the last was given, if ever.
    last: Option<Instant>,
}

impl Refusals {
    /// Answers, if that is due and the link is free.
    fn answer(&mut self, link: &mut Link, to: &[u8], refusal: Refusal) {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= REFUSAL_INTERVAL);
        if is_due && link.offer(to, &Part::Refused(refusal).payload()) {
            self.last = Some(Instant::now());
        }
    }
}

impl Recv {
    pub(crate) fn run(self) -> Result<(), Failure> {
        runtime::block_on(async {
            let stop = stop_signal().map_err(|e| Failure::new(format!("cannot wait for signals: {e}.")))?;
            let path = self.output.as_deref().unwrap_or(Path::new("-"));
            let output = match &self.output {
                Some(path) => Output::file(path, self.raw),
                None => Output::standard(self.raw),
            };
            let output = output.map_err(|error| cannot_write(path, &error))?;
            // The bar and the data would write over each other on one terminal.
            let incoming = Incoming::new(self.output.is_some() || !stdout().is_terminal());
            let mut received =
                Received { messages: 0, incoming, refusals: Refusals::default(), has_told: false, output };
            let mut stop = std::pin::pin!(stop);
            let mut is_stopped = false;
            let result = tokio::select! {
                result = self.receive(&mut received) => result,
                // Asked to stop: what came is what there is, except of a transfer.
                _ = &mut stop => {
                    is_stopped = true;
                    if self.transfer {
                        Err(Failure::new("stopped before the transfer was complete."))
                    } else {
                        Ok(())
                    }
                },
            };
            received.incoming.hide_progress();
            if result.is_err() && self.output.is_some() {
                return result;
            }
            let written = tokio::select! {
                written = received.output.finish() => written,
                _ = &mut stop, if !is_stopped => return Err(not_all_written(path)),
                () = sleep(STOP_WAIT), if is_stopped => return Err(not_all_written(path)),
            };
            match written {
                // Whoever read our output has enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => result,
                // What ended it is told, not what came of that.
                Err(error) => result.and(Err(cannot_write(path, &error))),
                Ok(()) => result,
            }
        })
    }

    async fn receive(&self, received: &mut Received) -> Result<(), Failure> {
        let mut reconnect = Reconnect::new(BACKOFF.0, BACKOFF.1);
        let mut give_up = Instant::now() + self.retry_for.map_or(NEVER, |span| span.0);
        let mut quiet = self.quiet_deadline();
        let mut was_connected = false;
        let registration = self.relay.registration(&self.name, self.credentials.read()?);
        let relay = &self.relay.relay;
        let mut claim = Claim::default();
        loop {
            let lost = match registration.open(&mut claim).await {
                Ok(link) => {
                    if was_connected {
                        tell(&format!("connected to {relay} again."));
                    }
                    was_connected = true;
                    reconnect.connected();
                    match self.receive_on(link, received, &mut quiet).await? {
                        Stop::Done => return Ok(()),
                        Stop::Timeout => return self.timed_out(received),
                        Stop::Lost(error) => {
                            give_up = Instant::now() + self.retry_for.map_or(NEVER, |span| span.0);
                            error
                        }
                    }
                }
                Err(error) => error,
            };
            if received.incoming.has_begun() {
                let cause = sentence(&lost, relay, &self.name);
                return Err(Failure::new(format!("the transfer was cut off: {cause}")));
            }
            let lost = match claim.ask_again(lost) {
                Ok(pause) => {
                    tell(&format!(
                        "another connection of the same owner has taken the name {}; asking for it again.",
                        self.name
                    ));
                    sleep(pause).await;
                    continue;
                }
                Err(lost) => lost,
            };
            // A first refusal is an answer; later the relay may only not have noticed yet that the old connection is gone.
            let is_final = !was_connected && matches!(lost, LinkError::Refused { .. } | LinkError::NoToken);
            let never = [ErrorCode::BadName, ErrorCode::Replaced];
            if is_final || matches!(lost, LinkError::Refused { code, .. } if never.contains(&code)) {
                return Err(sentence(&lost, relay, &self.name));
            }
            let asked = if let LinkError::Closing(asked) = lost { asked } else { Duration::ZERO };
            let pause = reconnect.pause(asked);
            let now = Instant::now();
            if now + pause > give_up {
                return Err(sentence(&lost, relay, &self.name));
            }
            if now + pause > quiet {
                sleep(quiet.saturating_duration_since(now)).await;
                return self.timed_out(received);
            }
            let seconds = pause.as_secs_f64();
            tell(&format!("{} Trying again in {seconds:.1} s.", sentence(&lost, relay, &self.name)));
            sleep(pause).await;
        }
    }

    async fn receive_on(
        &self,
        mut link: Link,
        received: &mut Received,
        quiet: &mut Instant,
    ) -> Result<Stop, Failure> {
        loop {
            while !received.output.has_room() {
                tokio::select! {
                    () = received.output.room() => {}
                    _ = link.keep() => {}
                }
                // What could not arrive meanwhile is not missing.
                *quiet = self.quiet_deadline();
            }
            let wake = received.incoming.wake().map_or(*quiet, |wake| wake.min(*quiet));
            let event = tokio::select! {
                error = received.output.failed() => return self.not_written(link, received, &error).await,
                event = timeout_at(wake, link.next()) => event,
            };
            let event = match event {
                Err(_) if Instant::now() >= *quiet => return Ok(Stop::Timeout),
                Err(_) => match received.incoming.look(&mut link).await {
                    Ok(()) => continue,
                    Err(error) => return error.into(),
                },
                Ok(Err(error)) => return Ok(Stop::Lost(error)),
                Ok(Ok(event)) => event,
            };
            let frame = match &event {
                Event::Message(frame) => frame,
                Event::Control(FromRelay::Undeliverable(_)) => {
                    match received.incoming.sender_left(&event)? {
                        Step::More => continue,
                        Step::All => return self.finish_transfer(link, received).await,
                    }
                }
                Event::Control(_) | Event::Bytes(_) => continue,
            };
            if self.from.as_ref().is_some_and(|from| from.as_bytes() != frame.sender) {
                continue;
            }
            if self.transfer {
                *quiet = self.quiet_deadline();
                let Received { incoming, refusals, output, .. } = &mut *received;
                match incoming.take(frame, &mut link, refusals, output).await {
                    Ok(Step::More) => {}
                    Ok(Step::All) => return self.finish_transfer(link, received).await,
                    Err(error) => return error.into(),
                }
            } else if let Some(part) = Part::parse(&frame.payload) {
                if part.is_from_sender() {
                    self.refuse(&mut link, frame, received).await?;
                }
            } else {
                *quiet = self.quiet_deadline();
                if self.take(frame, received) {
                    return Ok(Stop::Done);
                }
            }
        }
    }

    /// Takes one message; true when it was the last.
    fn take(&self, frame: &Frame, received: &mut Received) -> bool {
        let end: &[u8] = if self.lines || self.json { b"\n" } else { b"" };
        if self.json {
            received.output.write(&[&as_json(frame), end]);
        } else {
            received.output.write(&[&frame.payload, end]);
        }
        received.messages += 1;
        self.count.is_some_and(|count| received.messages >= count)
    }

    /// Says that here are no transfers received: to the sender, and to the person. Whoever waits for a certain number of messages does not
    /// wait for what will not come.
    async fn refuse(&self, link: &mut Link, frame: &Frame, received: &mut Received) -> Result<(), Failure> {
        let sender = Escaped(&frame.sender);
        if self.count.is_some() {
            last_word(link, &frame.sender, Part::Refused(Refusal::NotWanted)).await;
            return Err(Failure::new(format!("{sender} sends a transfer; receive it with --transfer.")));
        }
        if !std::mem::replace(&mut received.has_told, true) {
            tell(&format!("{sender} wanted to send a transfer; that is received with --transfer."));
        }
        received.refusals.answer(link, &frame.sender, Refusal::NotWanted);
        Ok(())
    }

    /// Ends a transfer of which everything has come: tells the sender when all of it is written.
    async fn finish_transfer(&self, mut link: Link, received: &mut Received) -> Result<Stop, Failure> {
        received.incoming.write_single(&received.output);
        let written = tokio::select! {
            written = received.output.finish() => written,
            never = link.keep() => match never {},
        };
        if let Err(error) = written {
            return self.not_written(link, received, &error).await;
        }
        if let Some((sender, bytes)) = received.incoming.receipt() {
            last_word(&mut link, &sender, Part::Received(bytes)).await;
            link.leave(LAST_WORD_TIMEOUT).await;
        }
        Ok(Stop::Done)
    }

    /// What came cannot be written.
    async fn not_written(
        &self,
        mut link: Link,
        received: &mut Received,
        error: &io::Error,
    ) -> Result<Stop, Failure> {
        if let Some(sender) = received.incoming.sender() {
            last_word(&mut link, sender, Part::Refused(Refusal::Unwritten)).await;
        }
        match error.kind() {
            ErrorKind::BrokenPipe if self.transfer => {
                Err(Failure::new("whoever reads standard output left before the transfer was complete."))
            }
            // Whoever read our output has enough.
            ErrorKind::BrokenPipe => Ok(Stop::Done),
            _ => Err(cannot_write(self.output.as_deref().unwrap_or(Path::new("-")), error)),
        }
    }

    fn timed_out(&self, received: &Received) -> Result<(), Failure> {
        let wanted = match (self.count, self.transfer) {
            (_, true) => "the end of the transfer".to_owned(),
            (Some(count), _) => format!("{count} messages, {} came", received.messages),
            (None, _) if received.messages > 0 => return Ok(()),
            (None, _) => "a message".to_owned(),
        };
        let waited = humantime::format_duration(self.timeout.map_or(NEVER, |span| span.0));
        Err(Failure::new(format!(
            "nothing arrived for {waited} while waiting for {wanted}; raise --timeout."
        )))
    }

    fn quiet_deadline(&self) -> Instant {
        Instant::now() + self.timeout.map_or(NEVER, |span| span.0)
    }
}

/// Says something, and waits a moment for it to be on its way: this program is about to end. It need not arrive.
async fn last_word(link: &mut Link, to: &[u8], word: Part<'_>) {
    let said = async {
        link.send(to, &word.payload()).await?;
        let wanted = link.ping().await?;
        loop {
            if link.next().await? == Event::Control(FromRelay::Pong(wanted)) {
                return Ok::<_, LinkError>(());
            }
        }
    };
    let _ = timeout(LAST_WORD_TIMEOUT, said).await;
}

fn as_json(frame: &Frame) -> Vec<u8> {
    let mut object = serde_json::Map::new();
    let mut insert = |bytes: &[u8], text_key: &str, hex_key: &str| match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(text_key.to_owned(), text.into()),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            object.insert(hex_key.to_owned(), hex.into())
        }
    };
    insert(&frame.sender, "from", "from_hex");
    insert(&frame.payload, "text", "hex");
    object.insert("length".to_owned(), frame.payload.len().into());
    serde_json::Value::Object(object).to_string().into_bytes()
}

fn not_all_written(path: &Path) -> Failure {
    Failure::new(format!("stopped before all that came was written: {} is not being read.", shown(path)))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let name = shown(path);
    let advice = match error.kind() {
        ErrorKind::InvalidFilename => "choose another name, of at most 255 bytes on most systems",
        _ => "check its folder and the space on the disk",
    };
    Failure::new(format!("cannot write to {name}: {error}; {advice}."))
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard output".to_owned() } else { path.display().to_string() }
}
