//! One transfer that comes in, from its offer to its end, or a single message in its place.

use std::time::Duration;

use tokio::time::Instant;

use super::{Output, Refusals, Stop, last_word};
use crate::{
    cli::{Failure, progress::Progress},
    client::{Event, Link, LinkError, Part, Refusal},
    wire::{Escaped, Frame},
};

/// How long a sender may be silent until the relay is asked whether it is still there. It may wait for its own input for as long as it likes.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// The same for the sender of a single message, which leaves when it is through: the first and the longest pause between two looks.
const MESSAGE_PROBE_INTERVALS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// How long that one may take to leave. Whoever stays for longer may have more to say than a message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// The transfer.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    state: State,
    /// Whether a bar may be shown.
    shows_progress: bool,
    progress: Option<Progress>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Waiting,
    Running {
        sender: Vec<u8>,
        bytes: u64,
        probe_at: Instant,
    },
    /// A message that is no part of a transfer. It is all there is when its sender leaves without another.
    Single {
        message: Frame,
        until: Instant,
        pause: Duration,
        probe_at: Instant,
    },
    /// Everything has come.
    Complete {
        sender: Vec<u8>,
        bytes: u64,
        /// The sender is there and wants to know.
        wants_receipt: bool,
    },
}

/// What follows from a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    More,
    /// Everything has come.
    All,
}

/// Why a transfer does not go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// The transfer has failed.
    Failed(Failure),
    /// The link is lost.
    Lost(LinkError),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<LinkError> for Broken {
    fn from(error: LinkError) -> Self {
        Self::Lost(error)
    }
}

impl From<Broken> for Result<Stop, Failure> {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Failed(failure) => Err(failure),
            Broken::Lost(error) => Ok(Stop::Lost(error)),
        }
    }
}

impl Incoming {
    /// Nothing yet. With `shows_progress`, a transfer has a bar.
    pub(super) fn new(shows_progress: bool) -> Self {
        Self { shows_progress, ..Self::default() }
    }

    /// Whether something of it has come, so that another connection is of no use.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.state, State::Waiting)
    }

    /// Who sends it, while they may want to know what becomes of it.
    pub(super) fn sender(&self) -> Option<&[u8]> {
        match &self.state {
            State::Waiting => None,
            State::Running { sender, .. } | State::Complete { sender, .. } => Some(sender),
            State::Single { message, .. } => Some(&message.sender),
        }
    }

    /// Who is to be told that so many bytes were received.
    pub(super) fn receipt(&self) -> Option<(Vec<u8>, u64)> {
        match &self.state {
            State::Complete { sender, bytes, wants_receipt: true } => Some((sender.clone(), *bytes)),
            _ => None,
        }
    }

    /// When [`Self::look`] is of use.
    pub(super) fn wake(&self) -> Option<Instant> {
        match &self.state {
            State::Running { probe_at, .. } | State::Single { probe_at, .. } => Some(*probe_at),
            State::Waiting | State::Complete { .. } => None,
        }
    }

    /// Nobody watches any more.
    pub(super) fn hide_progress(&mut self) {
        self.progress = None;
    }

    /// Looks whether a silent sender is still there. If not, the relay says so.
    pub(super) async fn look(&mut self, link: &mut Link) -> Result<(), Broken> {
        match &mut self.state {
            State::Running { sender, probe_at, .. } => {
                *probe_at = Instant::now() + PROBE_INTERVAL;
                link.send(sender, &Part::Probe.payload()).await?;
            }
            State::Single { message, until, .. } if Instant::now() >= *until => {
                let sender = message.sender.clone();
                return Err(no_transfer(link, &sender).await.into());
            }
            State::Single { message, pause, probe_at, .. } => {
                *probe_at = Instant::now() + *pause;
                *pause = (*pause * 2).min(MESSAGE_PROBE_INTERVALS.1);
                link.send(&message.sender, &Part::Probe.payload()).await?;
            }
            State::Waiting | State::Complete { .. } => {}
        }
        Ok(())
    }

    /// What it means that somebody has left.
    pub(super) fn sender_left(&mut self, event: &Event) -> Result<Step, Failure> {
        match &self.state {
            State::Running { sender, bytes, .. } if event.is_undelivered(sender) => {
                Err(Failure::new(format!(
                    "{} left after {bytes} bytes, before the transfer was complete; have everything sent again.",
                    Escaped(sender)
                )))
            }
            State::Single { message, .. } if event.is_undelivered(&message.sender) => Ok(Step::All),
            _ => Ok(Step::More),
        }
    }

    /// Takes one message. Whoever has no part in the transfer gets one of the `refusals`.
    pub(super) async fn take(
        &mut self,
        frame: &Frame,
        link: &mut Link,
        refusals: &mut Refusals,
        output: &Output,
    ) -> Result<Step, Broken> {
        let part = Part::parse(&frame.payload);
        if part.is_some_and(|part| !part.is_from_sender()) {
            // A receiver has the name of the one who sent the message, and answers the probe in its place.
            let is_next =
                matches!(&self.state, State::Single { message, .. } if message.sender == frame.sender);
            return Ok(if is_next { Step::All } else { Step::More });
        }
        match &mut self.state {
            State::Waiting => match part {
                None => {
                    // The message is written when it is known to be all.
                    let probe_at = Instant::now();
                    self.state = State::Single {
                        message: frame.clone(),
                        until: probe_at + MESSAGE_TIMEOUT,
                        pause: MESSAGE_PROBE_INTERVALS.0,
                        probe_at,
                    };
                }
                Some(Part::Begin(total)) => {
                    self.progress = self.shows_progress.then(|| Progress::new(total));
                    let probe_at = Instant::now() + PROBE_INTERVAL;
                    self.state = State::Running { sender: frame.sender.clone(), bytes: 0, probe_at };
                    link.send(&frame.sender, &Part::Ready.payload()).await?;
                }
                // The rest of a transfer to somebody who had the name before.
                Some(_) => refusals.answer(link, &frame.sender, Refusal::Broken),
            },
            State::Running { sender, bytes, probe_at } if *sender == frame.sender => {
                *probe_at = Instant::now() + PROBE_INTERVAL;
                match part {
                    Some(Part::Data(data)) => {
                        output.write(&[data]);
                        *bytes += data.len() as u64;
                        if let Some(progress) = &self.progress {
                            progress.set(*bytes);
                        }
                    }
                    Some(Part::End(all)) if all == *bytes => {
                        let (sender, bytes) = (frame.sender.clone(), *bytes);
                        self.state = State::Complete { sender, bytes, wants_receipt: true };
                        return Ok(Step::All);
                    }
                    Some(Part::Probe) => {}
                    // It has begun anew, or something is missing.
                    _ => {
                        last_word(link, &frame.sender, Part::Refused(Refusal::Broken)).await;
                        return Err(Failure::new(format!(
                            "what {} sent is no whole transfer; have everything sent again.",
                            Escaped(&frame.sender)
                        ))
                        .into());
                    }
                }
            }
            State::Single { message, .. } if message.sender == frame.sender => {
                return Err(no_transfer(link, &frame.sender).await.into());
            }
            // One at a time.
            State::Running { .. } | State::Single { .. } | State::Complete { .. } => {
                if matches!(part, Some(Part::Begin(_))) {
                    refusals.answer(link, &frame.sender, Refusal::Busy);
                }
            }
        }
        Ok(Step::More)
    }

    /// Writes the single message that has turned out to be all.
    pub(super) fn write_single(&mut self, output: &Output) {
        if let State::Single { message, .. } = &self.state {
            output.write(&[&message.payload]);
            let (sender, bytes) = (message.sender.clone(), message.payload.len() as u64);
            self.state = State::Complete { sender, bytes, wants_receipt: false };
        }
    }
}

/// Tells a sender of messages that they are not what was waited for, and says the same.
async fn no_transfer(link: &mut Link, sender: &[u8]) -> Failure {
    last_word(link, sender, Part::Refused(Refusal::Broken)).await;
    Failure::new(format!(
        "{} sends messages, not a transfer; have everything sent again with --transfer.",
        Escaped(sender)
    ))
}
