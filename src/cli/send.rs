//! `relay send`: data from a file or standard input to a name.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{Read, stdin},
    path::PathBuf,
};

use bytesize::ByteSize;
use clap::Args;
use tokio::time::{Duration, Instant, sleep};

use super::{
    Failure,
    progress::Progress,
    relay_args::{RelayArgs, sentence},
    runtime,
    secrets::CredentialArgs,
    values::Span,
};
use crate::{
    client::{Claim, Event, Link, LinkError, Outgoing, read_pieces},
    wire::{FromRelay, Name, TextName},
};

/// Between two attempts to reach a name that nobody has yet.
const WAIT_STEP: Duration = Duration::from_millis(200);

/// How long to wait at the end for the relay to give the name back.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// From this size on a person may want to watch.
const PROGRESS_BYTES: u64 = 4 << 20;

/// Send a file or standard input to a name
///
/// What fits into one message of the relay is sent as one. Anything larger goes as several messages and ends with an empty one. With
/// --transfer that end mark always comes: `relay recv --transfer` waits for it. Ends when the relay has passed everything on, and fails
/// when nobody has the name.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The name to send to
    dest: Name,

    /// What to send; `-` or nothing: standard input
    file: Option<PathBuf>,

    #[command(flatten)]
    relay: RelayArgs,

    #[command(flatten)]
    credentials: CredentialArgs,

    /// The name to send as [default: one made up for this call]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<TextName>,

    /// Send each line as a message of its own
    #[arg(long)]
    lines: bool,

    /// End with an empty message whatever the size, for `relay recv --transfer`
    #[arg(long, conflicts_with = "lines")]
    transfer: bool,

    /// Size of the messages that larger data is cut into [default: the largest the relay takes]
    #[arg(long, value_name = "SIZE", conflicts_with = "lines")]
    chunk: Option<ByteSize>,

    /// If nobody has the name yet, try again for so long
    #[arg(long, value_name = "TIME", default_value = "0s")]
    wait: Span,
}

impl Send {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (input, size): (Box<dyn Read + std::marker::Send>, Option<u64>) = match &self.file {
            Some(path) if path.as_os_str() != "-" => {
                let failed =
                    |e| Failure::new(format!("cannot read {}: {e}; check the path.", path.display()));
                let file = File::open(path).map_err(failed)?;
                let about = file.metadata().map_err(failed)?;
                if about.is_dir() {
                    return Err(Failure::new(format!("{} is a folder; name a file.", path.display())));
                }
                (Box::new(file), about.is_file().then_some(about.len()))
            }
            _ => (Box::new(stdin()), None),
        };
        runtime::block_on(self.send(input, size))
    }

    async fn send(self, input: Box<dyn Read + std::marker::Send>, size: Option<u64>) -> Result<(), Failure> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => made_up_name()?,
        };
        let fail = |error: &LinkError| sentence(error, &self.relay.relay, &name);
        let registration = self.relay.registration(&name, self.credentials.read()?);
        let mut link = registration.open(&mut Claim::default()).await.map_err(|error| fail(&error))?;
        let limit = link.max_message();
        let chunk = self.chunk.map_or(limit, |chunk| chunk.as_u64().min(limit)).max(1);
        let chunk = usize::try_from(chunk).unwrap_or(usize::MAX);
        let mut pieces = read_pieces(input, chunk, self.lines);
        let is_long = size.is_none_or(|size| size >= PROGRESS_BYTES);
        let progress = is_long.then(|| Progress::new(size));
        let mut bytes = 0;
        let mut messages = 0;
        while let Some(piece) = next_piece(&mut pieces, &mut link, &self, &fail).await? {
            link.send(self.dest.as_bytes(), &piece.payload).await.map_err(|error| fail(&error))?;
            bytes += piece.payload.len() as u64;
            messages += 1;
            if messages == 1 {
                // The first tells whether anybody is there; later ones follow without waiting.
                self.confirm_first(&mut link, &piece.payload, &fail).await?;
            }
            if let Some(progress) = &progress {
                progress.set(bytes);
            }
            if piece.is_last {
                break;
            }
        }
        // Of nothing at all, the one message is the end mark.
        if (messages > 1 || (self.transfer && bytes > 0)) && !self.lines {
            link.send(self.dest.as_bytes(), b"").await.map_err(|error| fail(&error))?;
        }
        let delivered = self.confirm(&mut link, &fail).await?;
        if self.name.is_some() {
            // The next command of a script may want the same name.
            link.leave(LEAVE_TIMEOUT).await;
        }
        if delivered { Ok(()) } else { Err(self.nobody()) }
    }

    /// Sends the first message again until somebody has the name, as long as `--wait` says.
    async fn confirm_first(
        &self,
        link: &mut Link,
        payload: &[u8],
        fail: &impl Fn(&LinkError) -> Failure,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + self.wait.0;
        while !self.confirm(link, fail).await? {
            if Instant::now() >= deadline {
                return Err(self.nobody());
            }
            sleep(WAIT_STEP.min(deadline.saturating_duration_since(Instant::now()))).await;
            link.send(self.dest.as_bytes(), payload).await.map_err(|error| fail(&error))?;
        }
        Ok(())
    }

    /// Waits until the relay has passed on everything sent so far; false when some of it was for nobody.
    async fn confirm(&self, link: &mut Link, fail: &impl Fn(&LinkError) -> Failure) -> Result<bool, Failure> {
        let wanted = link.ping().await.map_err(|error| fail(&error))?;
        let mut delivered = true;
        // However long a slow recipient takes: the link itself knows when the relay is gone.
        loop {
            match link.next().await.map_err(|error| fail(&error))? {
                Event::Control(FromRelay::Pong(number)) if number == wanted => return Ok(delivered),
                Event::Control(FromRelay::Undeliverable(_)) => delivered = false,
                Event::Control(FromRelay::Error(error)) => {
                    return Err(fail(&LinkError::Refused { code: error.code, message: error.message }));
                }
                _ => {}
            }
        }
    }

    fn nobody(&self) -> Failure {
        Failure::new(format!(
            "nobody has the name {} at {}; start its program first, or give it time with --wait.",
            self.dest, self.relay.relay
        ))
    }
}

/// The next piece of the input, while the link is kept alive: a pipe may be silent for long.
async fn next_piece(
    pieces: &mut Outgoing,
    link: &mut Link,
    send: &Send,
    fail: &impl Fn(&LinkError) -> Failure,
) -> Result<Option<crate::client::Piece>, Failure> {
    loop {
        tokio::select! {
            biased;
            piece = pieces.recv() => {
                let failed = |e| Failure::new(format!("cannot read what is to be sent: {e}."));
                return piece.transpose().map_err(failed);
            }
            event = link.next() => match event.map_err(|error| fail(&error))? {
                Event::Control(FromRelay::Undeliverable(_)) => return Err(send.nobody()),
                Event::Control(FromRelay::Error(error)) => {
                    return Err(fail(&LinkError::Refused { code: error.code, message: error.message }));
                }
                // Nobody is meant to answer a name that was made up for this call.
                _ => {}
            }
        }
    }
}

fn made_up_name() -> Result<TextName, Failure> {
    let random = RandomState::new().hash_one(std::process::id());
    TextName::new(&format!("send-{random:016x}")).map_err(|error| Failure::new(format!("{error}.")))
}
