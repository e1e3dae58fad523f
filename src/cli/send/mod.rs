//! `relay send`: data from a file or standard input to a name.

mod transfer;

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{Read, stdin},
    path::PathBuf,
};

use clap::Args;
use tokio::time::{Duration, Instant, sleep};

use self::transfer::Transfer;
use super::{
    Failure,
    progress::Progress,
    relay_args::{RelayArgs, sentence},
    runtime,
    secrets::CredentialArgs,
    values::Span,
};
use crate::{
    client::{Claim, Cut, DATA_PREFIX, Event, Link, LinkError, Outgoing, Part, Piece, Refusal, read_pieces},
    size::ByteSize,
    wire::{Frame, FromRelay, Name, TextName},
};

/// A transfer is cut into messages of this size at most, whatever the relay takes: a piece is kept until it is sent.
const CHUNK_BYTES_MAX: u64 = 16 << 20;

/// Between two attempts to reach a name that nobody has yet.
const WAIT_STEP: Duration = Duration::from_millis(200);

/// How long to wait at the end for the relay to give the name back.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the messages of a transfer say beside the data takes no more.
const TRANSFER_MESSAGE_MIN: u64 = 64;

/// Send a file or standard input to a name
///
/// It is one message, or with --lines one for each line; what the relay does not take as one is refused before anything is sent. With
/// --transfer it may be of any size, and `relay recv --transfer` has to be there. Ends when the relay has passed everything on, a transfer
/// when the receiver has written everything, and fails when nobody has the name.
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

    /// Send data of any size to `relay recv --transfer`, and wait until it has everything
    #[arg(long, conflicts_with = "lines")]
    transfer: bool,

    /// Size of the messages that a transfer is cut into [default: the largest the relay takes]
    #[arg(long, value_name = "SIZE", requires = "transfer")]
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
        if self.transfer {
            self.transfer(&mut link, input, size, &fail).await?;
        } else {
            self.messages(&mut link, input, &fail).await?;
        }
        if self.name.is_some() {
            // The next command of a script may want the same name.
            link.leave(LEAVE_TIMEOUT).await;
        }
        Ok(())
    }

    /// Sends one message, or one for each line.
    async fn messages(
        &self,
        link: &mut Link,
        input: Box<dyn Read + std::marker::Send>,
        fail: &impl Fn(&LinkError) -> Failure,
    ) -> Result<(), Failure> {
        let limit = link.max_message();
        let cut = if self.lines { Cut::Lines } else { Cut::Whole };
        let mut pieces = read_pieces(input, usize::try_from(limit).unwrap_or(usize::MAX), cut);
        let mut is_first = true;
        while let Some(piece) = next_piece(&mut pieces, link, self, fail).await? {
            if !self.lines && !piece.is_last {
                return Err(Failure::new(format!(
                    "the relay takes messages of up to {limit} bytes, and this is more; send it with --transfer, to `relay recv \
                     --transfer`."
                )));
            }
            link.send(self.dest.as_bytes(), &piece.payload).await.map_err(|error| fail(&error))?;
            if std::mem::take(&mut is_first) {
                // The first tells whether anybody is there; later ones follow without waiting.
                self.confirm_first(link, &piece.payload, fail).await?;
            }
            if piece.is_last {
                return Ok(());
            }
        }
        if self.confirm(link, fail).await? { Ok(()) } else { Err(self.left()) }
    }

    async fn transfer(
        &self,
        link: &mut Link,
        input: Box<dyn Read + std::marker::Send>,
        total: Option<u64>,
        fail: &impl Fn(&LinkError) -> Failure,
    ) -> Result<(), Failure> {
        let limit = link.max_message();
        if limit < TRANSFER_MESSAGE_MIN {
            return Err(Failure::new(format!(
                "the relay takes messages of up to {limit} bytes, too few for a transfer; ask its operator for a larger --max-message."
            )));
        }
        let chunk = self
            .chunk
            .map_or(limit.min(CHUNK_BYTES_MAX), |chunk| chunk.0)
            .min(limit - DATA_PREFIX.len() as u64)
            .max(1);
        let chunk = usize::try_from(chunk).unwrap_or(usize::MAX);
        let pieces = read_pieces(input, chunk, Cut::Pieces { prefix: DATA_PREFIX });
        let progress = Progress::new(total);
        Transfer { send: self, link, fail, total, progress: &progress }.run(pieces).await
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
                Event::Message(frame) => self.check_refusal(&frame)?,
                Event::Control(FromRelay::Error(error)) => {
                    return Err(fail(&LinkError::Refused { code: error.code, message: error.message }));
                }
                _ => {}
            }
        }
    }

    /// Nobody is meant to answer a name that was made up for this call, except to say that this is no transfer.
    fn check_refusal(&self, frame: &Frame) -> Result<(), Failure> {
        match Part::parse(&frame.payload) {
            Some(Part::Refused(why)) if frame.sender == self.dest.as_bytes() => Err(self.refused(why)),
            _ => Ok(()),
        }
    }

    fn refused(&self, why: Refusal) -> Failure {
        let name = &self.dest;
        Failure::new(match why {
            Refusal::Busy => format!("{name} receives something else already; try again when it is through."),
            Refusal::Unwritten => {
                format!(
                    "{name} cannot write what it receives; look at its message and send everything again."
                )
            }
            _ if !self.transfer => {
                format!("{name} receives a transfer; send everything again with --transfer.")
            }
            Refusal::NotWanted => format!(
                "{name} receives single messages; start it with `relay recv --transfer`, or send one message, without --transfer."
            ),
            Refusal::Broken => format!("{name} did not get everything; send everything again."),
        })
    }

    fn left(&self) -> Failure {
        Failure::new(format!(
            "{} left before everything was passed on; start it again and send again.",
            self.dest
        ))
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
) -> Result<Option<Piece>, Failure> {
    loop {
        tokio::select! {
            biased;
            piece = pieces.recv() => {
                let failed = |e| Failure::new(format!("cannot read what is to be sent: {e}."));
                return piece.transpose().map_err(failed);
            }
            event = link.next() => match event.map_err(|error| fail(&error))? {
                Event::Control(FromRelay::Undeliverable(_)) => return Err(send.left()),
                Event::Control(FromRelay::Error(error)) => {
                    return Err(fail(&LinkError::Refused { code: error.code, message: error.message }));
                }
                Event::Message(frame) => send.check_refusal(&frame)?,
                _ => {}
            }
        }
    }
}

fn made_up_name() -> Result<TextName, Failure> {
    let random = RandomState::new().hash_one(std::process::id());
    TextName::new(&format!("send-{random:016x}")).map_err(|error| Failure::new(format!("{error}.")))
}
