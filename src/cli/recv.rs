//! `relay recv`: what arrives for a name to standard output.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Failure,
    failure::tell,
    output::Output,
    progress::Progress,
    relay_args::{RelayArgs, sentence},
    runtime,
    secrets::CredentialArgs,
    values::Span,
};
use crate::{
    client::{Event, Link, LinkError, Mode},
    net::{Backoff, stop_signal},
    wire::{ErrorCode, Frame, FromRelay, Name},
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
/// connection is lost, connects again by itself. Ends with 0 after --count messages, after a whole --transfer, or on Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Recv {
    #[command(flatten)]
    relay: RelayArgs,

    #[command(flatten)]
    credentials: CredentialArgs,

    /// The name to receive as
    #[arg(long = "as", value_name = "NAME")]
    name: Name,

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

    /// Receive one transfer: everything one sender sends, up to its empty message
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

/// Why receiving stopped.
enum Stop {
    Done,
    Timeout,
    Lost(LinkError),
}

/// What has been received so far, across connections.
struct Received {
    messages: u64,
    bytes: u64,
    /// The sender of the transfer that has begun.
    sender: Option<Vec<u8>>,
    output: Output,
    progress: Option<Progress>,
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
            let progress = self.transfer.then(|| Progress::new(None));
            let mut received = Received { messages: 0, bytes: 0, sender: None, output, progress };
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
            drop(received.progress.take());
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
                Err(error) => Err(cannot_write(path, &error)),
                Ok(()) => result,
            }
        })
    }

    async fn receive(&self, received: &mut Received) -> Result<(), Failure> {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let mut give_up = Instant::now() + self.retry_for.map_or(NEVER, |span| span.0);
        let mut quiet = self.quiet_deadline();
        let mut was_connected = false;
        let credentials = self.credentials.read()?;
        loop {
            let relay = &self.relay.relay;
            let wait = self.relay.connect_timeout();
            let opened = Link::open(relay, &self.name, Mode::Session, wait, &credentials).await;
            let lost = match opened {
                Ok(link) => {
                    if was_connected {
                        tell(&format!("connected to {relay} again."));
                    }
                    was_connected = true;
                    backoff.reset();
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
            if self.transfer && received.sender.is_some() {
                let cause = sentence(&lost, relay, &self.name);
                return Err(Failure::new(format!("the transfer was cut off: {cause}")));
            }
            // A first refusal is an answer; later the relay may only not have noticed yet that the old connection is gone.
            let is_final = !was_connected && matches!(lost, LinkError::Refused { .. } | LinkError::NoToken);
            let never = [ErrorCode::BadName, ErrorCode::Replaced];
            if is_final || matches!(lost, LinkError::Refused { code, .. } if never.contains(&code)) {
                return Err(sentence(&lost, relay, &self.name));
            }
            let pause = match lost {
                LinkError::Closing(pause) => pause + backoff.wait(),
                _ => backoff.wait(),
            };
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
            let event = tokio::select! {
                error = received.output.failed() => match error.kind() {
                    // Whoever read our output has enough.
                    ErrorKind::BrokenPipe => return Ok(Stop::Done),
                    _ => return Err(cannot_write(self.output.as_deref().unwrap_or(Path::new("-")), &error)),
                },
                event = timeout_at(*quiet, link.next()) => event,
            };
            let event = match event {
                Err(_) => return Ok(Stop::Timeout),
                Ok(Err(error)) => return Ok(Stop::Lost(error)),
                Ok(Ok(event)) => event,
            };
            let frame = match event {
                Event::Message(frame) => frame,
                // Two that take the name from each other in turn would never end.
                Event::Control(FromRelay::Error(error)) if error.code == ErrorCode::Replaced => {
                    return Ok(Stop::Lost(LinkError::Refused { code: error.code, message: error.message }));
                }
                Event::Control(_) | Event::Bytes(_) => continue,
            };
            if self.from.as_ref().is_some_and(|from| from.as_bytes() != frame.sender) {
                continue;
            }
            *quiet = self.quiet_deadline();
            if self.take(&frame, received) {
                return Ok(Stop::Done);
            }
        }
    }

    /// Takes one message; true when it was the last.
    fn take(&self, frame: &Frame, received: &mut Received) -> bool {
        if self.transfer {
            let sender = received.sender.get_or_insert_with(|| frame.sender.clone());
            if *sender != frame.sender {
                // Another transfer at the same time; this call receives one.
                return false;
            }
            if frame.payload.is_empty() {
                return true;
            }
        }
        let end: &[u8] = if self.lines || self.json { b"\n" } else { b"" };
        if self.json {
            received.output.write(&[&as_json(frame), end]);
        } else {
            received.output.write(&[&frame.payload, end]);
        }
        received.messages += 1;
        received.bytes += frame.payload.len() as u64;
        if let Some(progress) = &received.progress {
            progress.set(received.bytes);
        }
        self.count.is_some_and(|count| received.messages >= count)
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
    Failure::new(format!("cannot write to {name}: {error}; check its folder and the space on the disk."))
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard output".to_owned() } else { path.display().to_string() }
}
